"""What an agent of `commons` sees, as a grid it can ask: apples, neighbours, the way to a cell.

It reads the `state` of an observation only. It knows no policy: who eats what is decided in the files beside it.
"""

from __future__ import annotations

from collections import deque
from typing import Callable, Iterator, Optional

Cell = tuple[int, int]

#: The four directions of `move` and `turn`, clockwise.
DIRECTIONS: dict[str, Cell] = {"north": (0, -1), "east": (1, 0), "south": (0, 1), "west": (-1, 0)}
NAMES = list(DIRECTIONS)

#: The cells that count as near an apple: L2 distance of at most 2, as the scenario's regrowth has it.
NEAR: list[Cell] = [
    (dx, dy) for dy in range(-2, 3) for dx in range(-2, 3) if (dx, dy) != (0, 0) and dx * dx + dy * dy <= 4
]


def chance(seat: str, tick: int) -> int:
    """A number that looks random and is the same in every run: FNV-1a (32 bits) of the seat's name and the tick."""
    value = 0x811C9DC5
    for byte in f"{seat}:{tick}".encode():
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    # FNV's low bits are weak for short keys; fold the high ones in (murmur3's finisher, half of it).
    value ^= value >> 16
    return (value * 0x85EBCA6B & 0xFFFFFFFF) >> 8


class Grid:
    """The visible part of the map in the map's own coordinates."""

    def __init__(self, state: dict) -> None:
        view = state["view"]
        self.x0: int = view["x0"]
        self.y0: int = view["y0"]
        self.rows: list[str] = view["rows"]
        legend: dict[str, str] = view["legend"]
        self.apple = {glyph for glyph, kind in legend.items() if kind == "apple"}
        self.me: Cell = (state["you"]["x"], state["you"]["y"])

    def glyph(self, cell: Cell) -> str:
        """What stands at a cell; `?` where it cannot be seen, also beyond the edge of the map."""
        column, row = cell[0] - self.x0, cell[1] - self.y0
        if 0 <= row < len(self.rows) and 0 <= column < len(self.rows[row]):
            return self.rows[row][column]
        return "?"

    def is_apple(self, cell: Cell) -> bool:
        return self.glyph(cell) in self.apple

    def is_open(self, cell: Cell) -> bool:
        """Whether a body may enter: bare ground or an apple."""
        glyph = self.glyph(cell)
        return glyph == "." or glyph in self.apple

    def apples(self) -> Iterator[Cell]:
        for row, text in enumerate(self.rows):
            for column, glyph in enumerate(text):
                if glyph in self.apple:
                    yield self.x0 + column, self.y0 + row

    def near(self, cell: Cell) -> int:
        """How many live apples can be seen within distance 2 of a cell."""
        return sum(self.is_apple((cell[0] + dx, cell[1] + dy)) for dx, dy in NEAR)

    def counts(self, cell: Cell) -> bool:
        """Whether all cells within distance 2 of a cell are seen or beyond the edge of the map, so that `near` is exact."""
        (x, y), last_row = self.me, len(self.rows) - 1
        last_column = len(self.rows[0]) - 1
        radius = max(x - self.x0, y - self.y0, self.x0 + last_column - x, self.y0 + last_row - y)
        for dx, dy in NEAR:
            column, row = cell[0] + dx, cell[1] + dy
            inside = self.x0 <= column <= self.x0 + last_column and self.y0 <= row <= self.y0 + last_row
            if inside and self.glyph((column, row)) == "?":
                return False
            if not inside and max(abs(column - x), abs(row - y)) > radius:
                return False
        return True

    def way(self, goal: Callable[[Cell], bool], enter: Callable[[Cell], bool], first: int) -> Optional[tuple[str, Cell]]:
        """The first step of a shortest way to the nearest cell with `goal`, and that cell; None when there is none.

        `enter` says which cells may be stepped on. `first` turns the order in which directions are tried, so that
        two agents at one place do not always choose the same way.
        """
        order = [NAMES[(first + turn) % 4] for turn in range(4)]
        queue: deque[tuple[Cell, Optional[str]]] = deque([(self.me, None)])
        seen = {self.me}
        while queue:
            (x, y), step = queue.popleft()
            for name in order:
                dx, dy = DIRECTIONS[name]
                cell = (x + dx, y + dy)
                if cell in seen or not enter(cell):
                    continue
                seen.add(cell)
                if goal(cell):
                    return step or name, cell
                queue.append((cell, step or name))
        return None


def wander(grid: Grid, heading: str, dice: int, enter: Callable[[Cell], bool]) -> Optional[str]:
    """The direction of a walk that looks for something: straight on, now and then a turn, round whatever is in the way.

    None when all four cells around are shut.
    """
    ahead = NAMES.index(heading)
    side = 1 if dice & 16 else 3
    order = [ahead, ahead + side, ahead - side, ahead + 2]
    if dice % 16 == 0:
        order[0], order[1] = order[1], order[0]
    for turn in order:
        name = NAMES[turn % 4]
        dx, dy = DIRECTIONS[name]
        if enter((grid.me[0] + dx, grid.me[1] + dy)):
            return name
    return None
