"""The same with the helper `formicarium.py`: walks east until something stops it, says so, and turns."""

from formicarium import Seat

seat = Seat(name="talker.py")
ways = ["east", "south", "west", "north"]
for seen in seat:
    stopped = [result for result in seen.results if result.action == "move" and not result.ok]
    if stopped:
        ways.append(ways.pop(0))
    for heard in seen.heard:
        seat.log(f"{heard.sender} said: {heard.text}")
    seat.act("move", dir=ways[0], say=f"{stopped[0].code}, so I go {ways[0]}" if stopped else None)
