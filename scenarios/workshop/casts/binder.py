"""The binder of `workshop`: builds the book on its desk at each tick, and reports what the build says when that changed."""
import json
import subprocess
import sys

told = None
for message in map(json.loads, sys.stdin):
    if message["type"] == "hello":
        print('{"type":"ready","name":"binder.py"}', flush=True)
    elif message["type"] == "observe":
        act = {"type": "act", "tick": message["tick"]}
        build = subprocess.run([sys.executable, "shared/build.py", "--json"], capture_output=True, text=True)
        try:
            said = json.loads(build.stdout)
        except ValueError:
            # The build itself is part of the book: whoever breaks it breaks it for all.
            act["thought"] = f"the build does not run: {build.stderr.strip()[-200:]}"
        else:
            if said != told:
                act["actions"] = [{"name": "report_build", "args": said}]
                act["thought"] = f"{said['chapters']} chapters, {said['broken']} faults"
                told = said
        print(json.dumps(act), flush=True)
    elif message["type"] == "end":
        break
