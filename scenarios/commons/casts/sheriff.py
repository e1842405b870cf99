"""A harvester of `commons` that harvests with restraint and times out whoever eats the last apples of a patch.

It remembers what it saw a tick ago: a body that now stands where an apple with fewer than three others near it stood
has eaten that apple. Such a seat is wanted for a while: the sheriff goes after it, faces it and uses the beam.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Optional

from forager import REMAIN, Memory, decide
from grid import DIRECTIONS, Cell, Grid, chance

#: For how many ticks a seat stays wanted.
WANTED = 30
#: How far the beam is tried; the scenario's own length is in its rules, and a beam that is too short hits nobody.
REACH = 3


@dataclass
class Case:
    """A seat that ate what it should have left, and when."""

    tick: int
    left: int


@dataclass
class Office:
    """What the sheriff keeps from tick to tick."""

    forager: Memory = field(default_factory=Memory)
    before: Optional[Grid] = None
    wanted: dict[str, Case] = field(default_factory=dict)


def accuse(office: Office, near: list[dict], tick: int) -> Optional[str]:
    """Adds to the wanted who has just eaten an apple of a tired patch; gives what to say about the first of them."""
    said = None
    for body in near:
        cell = (body["x"], body["y"])
        if office.before is None or not office.before.is_apple(cell) or not office.before.counts(cell):
            continue
        left = office.before.near(cell)
        if left < REMAIN:
            office.wanted[body["seat"]] = Case(tick, left)
            said = said or f"{body['seat']}, you ate at {cell[0]},{cell[1]} with {left} left near it. Stop that."
    return said


def aim(grid: Grid, target: Cell) -> Optional[str]:
    """The direction in which a straight beam reaches the target, None if there is none or something is between."""
    for name, (dx, dy) in DIRECTIONS.items():
        for step in range(1, REACH + 1):
            cell = (grid.me[0] + dx * step, grid.me[1] + dy * step)
            if cell == target:
                return name
            if not grid.is_open(cell):
                break
    return None


def judge(state: dict, seat: str, tick: int, office: Office) -> tuple[str, dict[str, str], str, Optional[str]]:
    """The choice of one tick: action, arguments, thought and what to say. `office` is changed in place."""
    grid = Grid(state)
    near = state["near"]
    said = accuse(office, near, tick)
    office.before = grid
    office.wanted = {name: case for name, case in office.wanted.items() if tick - case.tick < WANTED}
    for body in near:
        if body["timed_out"] > 0:
            office.wanted.pop(body["seat"], None)
    if state["you"]["timed_out"] == 0:
        bodies = sorted(
            (body for body in near if body["seat"] in office.wanted),
            key=lambda body: abs(body["x"] - grid.me[0]) + abs(body["y"] - grid.me[1]),
        )
        for body in bodies:
            name, target = body["seat"], (body["x"], body["y"])
            way = aim(grid, target)
            if way and state["you"]["face"] == way:
                return "zap", {}, f"{name} ate with {office.wanted[name].left} left: the beam", said
            if way:
                return "turn", {"dir": way}, f"{name} is in reach, I turn {way}", said
            # Bare ground only: a sheriff in pursuit does not eat the evidence.
            found = grid.way(
                lambda cell: abs(cell[0] - target[0]) + abs(cell[1] - target[1]) == 1,
                lambda cell: grid.glyph(cell) == ".",
                chance(seat, tick),
            )
            if found:
                return "move", {"dir": found[0]}, f"after {name}", said
    choice = decide(state, seat, tick, "restrained", office.forager)
    if choice.move is None:
        return "wait", {}, choice.thought, said or choice.say
    return "move", {"dir": choice.move}, choice.thought, said or choice.say


def main() -> None:
    from formicarium import Seat

    office = Office()
    seat = Seat(name="sheriff.py")
    last = ""
    for seen in seat:
        action, args, thought, said = judge(seen.state, seat.hello.seat, seen.tick, office)
        seat.act(action, say=said, thought=None if thought == last else thought, **args)
        last = thought


if __name__ == "__main__":
    main()
