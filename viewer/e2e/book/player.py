"""Plays a seat by a shell script: it is called with each tick, in the agent's working folder, at most eight times a second."""
import json
import subprocess
import sys
import time

for line in sys.stdin:
    message = json.loads(line)
    if message["type"] == "hello":
        print('{"type":"ready"}')
    elif message["type"] == "observe":
        time.sleep(0.12)
        subprocess.run(["sh", sys.argv[1], str(message["tick"])], check=True, stdout=subprocess.DEVNULL)
        print(json.dumps({"type": "act", "tick": message["tick"]}))
    elif message["type"] == "end":
        break
    sys.stdout.flush()
