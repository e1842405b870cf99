"""Plays a seat by a shell script: the script is called with the tick, in the agent's working folder."""
import json
import subprocess
import sys

for line in sys.stdin:
    message = json.loads(line)
    if message["type"] == "hello":
        print('{"type":"ready"}')
    elif message["type"] == "observe":
        with open("results.json", "w") as results:
            json.dump(message["results"], results)
        done = subprocess.run(["sh", sys.argv[1], str(message["tick"])], capture_output=True, text=True)
        said = (done.stdout + done.stderr).strip()
        if said:
            print(json.dumps({"type": "log", "text": said}))
        print(json.dumps({"type": "act", "tick": message["tick"]}))
    elif message["type"] == "end":
        break
    sys.stdout.flush()
