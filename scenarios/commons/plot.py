#!/usr/bin/env python3
"""Draws plot.svg from recordings: apples left and apples eaten over time, one colour a cast.

    python3 plot.py plot.svg greedy=runs/greedy-1 greedy=runs/greedy-2 restrained=runs/restrained-1 ..

Each argument is LABEL=RUN, a run's folder or its run.db; runs with one label are drawn as thin lines with their mean
on top. It reads table `metrics` of each recording and needs Python's standard library only.
"""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path

#: Metric of the scenario -> title of its panel.
PANELS = {"apples": "apples on the map", "harvested": "apples eaten, all seats together"}
#: Colours that can be told apart with any colour vision (Okabe and Ito).
COLOURS = ["#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"]
WIDTH, HEIGHT, LEFT, TOP, GAP = 360, 220, 52, 44, 64

Series = list[tuple[int, float]]


def read(run: Path, metric: str) -> Series:
    """The values of a metric by tick."""
    file = run / "run.db" if run.is_dir() else run
    if not file.is_file():
        sys.exit(f"plot.py: {file} is not there; give the folder of a run")
    with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as recording:
        rows = recording.execute("SELECT tick, value FROM metrics WHERE name = ? ORDER BY tick", [metric]).fetchall()
    if not rows:
        sys.exit(f"plot.py: {file} has no values of metric '{metric}'; is it a run of commons?")
    return rows


def mean(runs: list[Series]) -> Series:
    """The mean over runs at each tick that all of them have."""
    values = [dict(run) for run in runs]
    ticks = sorted(set.intersection(*(set(value) for value in values)))
    return [(tick, sum(value[tick] for value in values) / len(values)) for tick in ticks]


def nice(largest: float) -> tuple[float, float]:
    """The end of an axis that holds `largest`, and the distance of its marks: 1, 2 or 5 times a power of ten."""
    step = 1.0
    while True:
        for factor in (1, 2, 5):
            if largest <= 5 * factor * step:
                marks = max(1, -(-largest // (factor * step)))
                return marks * factor * step, factor * step
        step *= 10


def panel(left: float, title: str, groups: dict[str, list[Series]]) -> list[str]:
    """One panel as SVG elements."""
    every = [point for runs in groups.values() for run in runs for point in run]
    x_end, x_step = nice(max(tick for tick, _ in every))
    y_end, y_step = nice(max(value for _, value in every) or 1)

    def at(point: tuple[float, float]) -> str:
        return f"{left + point[0] / x_end * WIDTH:.1f},{TOP + HEIGHT - point[1] / y_end * HEIGHT:.1f}"

    svg = [f'<text class="title" x="{left}" y="{TOP - 14}">{title}</text>']
    for mark in range(int(y_end / y_step + 0.5) + 1):
        y = TOP + HEIGHT - mark * y_step / y_end * HEIGHT
        svg.append(f'<path class="grid" d="M{left},{y:.1f}h{WIDTH}"/>')
        svg.append(f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{mark * y_step:g}</text>')
    for mark in range(int(x_end / x_step + 0.5) + 1):
        x = left + mark * x_step / x_end * WIDTH
        svg.append(f'<text x="{x:.1f}" y="{TOP + HEIGHT + 17}" text-anchor="middle">{mark * x_step:g}</text>')
    svg.append(f'<text x="{left + WIDTH / 2}" y="{TOP + HEIGHT + 34}" text-anchor="middle">tick</text>')
    for colour, (label, runs) in zip(COLOURS, groups.items()):
        # Every eighth tick is enough for thin lines; the last one is kept, so that ends are true.
        for run in runs if len(runs) > 1 else []:
            points = " ".join(at(point) for point in run[:-1:8] + run[-1:])
            svg.append(f'<polyline class="run" stroke="{colour}" points="{points}"/>')
        middle = mean(runs)
        points = " ".join(at(point) for point in middle[:-1:2] + middle[-1:])
        svg.append(f'<polyline class="mean" stroke="{colour}" points="{points}"/>')
    return svg


def draw(groups: dict[str, list[Path]]) -> str:
    """The whole picture."""
    width = LEFT + len(PANELS) * (WIDTH + GAP) - GAP + 20
    svg = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {TOP + HEIGHT + 68}" font-family="sans-serif">',
        "<style>text{font-size:12px;fill:#333}.title{font-size:14px;font-weight:600}.grid{stroke:#ddd}",
        "polyline{fill:none}.run{stroke-width:.6;opacity:.35}.mean{stroke-width:2.2}</style>",
        '<rect width="100%" height="100%" fill="#fff"/>',
    ]
    for number, (metric, title) in enumerate(PANELS.items()):
        series = {label: [read(run, metric) for run in runs] for label, runs in groups.items()}
        svg += panel(LEFT + number * (WIDTH + GAP), title, series)
    x = float(LEFT)
    for colour, (label, runs) in zip(COLOURS, groups.items()):
        many = f" (mean and each of {len(runs)} seeds)" if len(runs) > 1 else ""
        y = TOP + HEIGHT + 56
        svg.append(f'<path d="M{x},{y - 4}h22" stroke="{colour}" stroke-width="3"/>')
        svg.append(f'<text x="{x + 28}" y="{y}">{label}{many}</text>')
        x += 60 + 6.6 * len(label + many)
    return "\n".join([*svg, "</svg>", ""])


def main() -> None:
    if len(sys.argv) < 3 or any("=" not in argument for argument in sys.argv[2:]):
        sys.exit(__doc__)
    groups: dict[str, list[Path]] = {}
    for argument in sys.argv[2:]:
        label, run = argument.split("=", 1)
        groups.setdefault(label, []).append(Path(run))
    if len(groups) > len(COLOURS):
        sys.exit(f"plot.py: {len(groups)} labels, at most {len(COLOURS)} can be told apart")
    Path(sys.argv[1]).write_text(draw(groups))


if __name__ == "__main__":
    main()
