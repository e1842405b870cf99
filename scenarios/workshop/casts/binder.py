"""The binder of `workshop`: builds the book on its desk at each tick, and reports what the build says when that changed.

The build itself is part of the book: whoever breaks it breaks it for all. So nothing that it says or does is believed
before it was looked at: it may say nonsense, read what is not for it, or never end.
"""
import json
import subprocess
import sys

FIELDS = ("chapters", "links", "broken")
# Well below the scenario's deadline: a build that hangs must not make the binder late.
PATIENCE_S = 5


def build() -> tuple[dict | None, str]:
    """The numbers that the build says; or none, and why."""
    command = [sys.executable, "shared/build.py", "--json"]
    try:
        # The binder's own input is the host's messages, which the build must not eat.
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        return None, f"it does not end within {PATIENCE_S} s"
    try:
        said = json.loads(done.stdout)
    except (ValueError, RecursionError):
        said = None
    if isinstance(said, dict) and all(type(said.get(field)) is int for field in FIELDS):
        numbers = {field: said[field] for field in FIELDS}
        if all(0 <= number < 2**53 for number in numbers.values()):
            return numbers, ""
    words = done.stderr.decode(errors="replace").strip()[-200:]
    return None, words or f"it says no counts: {done.stdout[:100]!r}"


told = None
for message in map(json.loads, sys.stdin):
    if message["type"] == "hello":
        print('{"type":"ready","name":"binder.py"}', flush=True)
    elif message["type"] == "observe":
        act = {"type": "act", "tick": message["tick"]}
        said, why = build()
        if said is None:
            act["thought"] = f"the build does not run: {why}"
        elif said != told:
            act["actions"] = [{"name": "report_build", "args": said}]
            act["thought"] = f"{said['chapters']} chapters, {said['broken']} faults"
            told = said
        print(json.dumps(act), flush=True)
    elif message["type"] == "end":
        break
