"""A whole agent in Python, with nothing but the standard library: walks in circles."""
import json, sys

for n, line in enumerate(sys.stdin):
    message = json.loads(line)
    if message["type"] == "hello":
        answer = {"type": "ready", "name": "walker.py"}
    elif message["type"] == "observe":
        move = {"name": "move", "args": {"dir": ("north", "east", "south", "west")[n // 4 % 4]}}
        answer = {"type": "act", "tick": message["tick"], "actions": [move]}
    else:  # end
        break
    print(json.dumps(answer), flush=True)
