"""A harvester of `commons`: `forager.py greedy` or `forager.py restrained`.

greedy      walks to the nearest apple it sees and eats it.
restrained  eats an apple only where at least three others remain within distance 2, and walks round all others.

`decide` is a function of what is seen and of the heading kept from the tick before; no clock and no dice of the
system, so that one recording of observations always gives the same answers.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Optional

from grid import NAMES, Grid, chance, wander

#: How many apples must remain near one that is eaten.
REMAIN = 3
#: A seat speaks of a tired patch at most once in this many ticks.
QUIET = 40


@dataclass
class Memory:
    """What a forager keeps from tick to tick."""

    heading: str = ""
    quiet_until: int = 0
    thought: str = ""


@dataclass
class Choice:
    """What a forager does in a tick; `move` None is to wait."""

    move: Optional[str]
    thought: str
    say: Optional[str] = None


def decide(state: dict, seat: str, tick: int, policy: str, memory: Memory) -> Choice:
    """The choice of one tick. `memory` is changed in place."""
    if state["you"]["timed_out"] > 0:
        return Choice(None, "timed out, I wait")
    grid = Grid(state)
    dice = chance(seat, tick)
    if not memory.heading:
        memory.heading = NAMES[dice % 4]
    restrained = policy == "restrained"

    def eatable(cell) -> bool:
        return grid.is_apple(cell) and (not restrained or grid.near(cell) >= REMAIN)

    def enter(cell) -> bool:
        return grid.is_open(cell) and (not grid.is_apple(cell) or eatable(cell))

    found = grid.way(eatable, enter, dice)
    if found:
        memory.heading, (x, y) = found
        left = grid.near((x, y))
        return Choice(memory.heading, f"apple at {x},{y} with {left} near it: I take it")
    step = wander(grid, memory.heading, dice, enter)
    if step:
        memory.heading = step
    tired = min(grid.apples(), default=None, key=lambda cell: abs(cell[0] - grid.me[0]) + abs(cell[1] - grid.me[1]))
    if tired is None:
        return Choice(step, "no apple in sight, I look for some")
    x, y = tired
    say = None
    if restrained and tick >= memory.quiet_until:
        memory.quiet_until = tick + QUIET + dice % QUIET
        say = f"the patch at {x},{y} needs rest"
    return Choice(step, f"too few apples near {x},{y}: I let it rest", say)


def main() -> None:
    from formicarium import Seat

    policy = sys.argv[1] if len(sys.argv) > 1 else "restrained"
    if policy not in ("greedy", "restrained"):
        sys.exit(f"forager.py: unknown policy '{policy}', expected greedy or restrained")
    memory = Memory()
    seat = Seat(name=f"forager.py {policy}")
    for seen in seat:
        choice = decide(seen.state, seat.hello.seat, seen.tick, policy, memory)
        # A thought is sent when it changes, not every tick.
        thought = choice.thought if choice.thought != memory.thought else None
        memory.thought = choice.thought
        if choice.move is None:
            seat.act("wait", say=choice.say, thought=thought)
        else:
            seat.act("move", dir=choice.move, say=choice.say, thought=thought)


if __name__ == "__main__":
    main()
