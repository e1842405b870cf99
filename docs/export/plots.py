#!/usr/bin/env python3
"""Draws two pictures from exported runs of the commons, with polars and matplotlib (tests/export/requirements.txt).

    formicarium export runs/a --to parquet
    formicarium export runs/b --to parquet
    python3 plots.py OUT greedy=runs/a-export restrained=runs/b-export

OUT/apples.svg shows what was left on the field over time, OUT/scores.svg how the points were spread over the seats at
the end. Each argument after the folder is LABEL=EXPORT, the folder of an export; exports with one label are drawn
together: of apples the mean with the range, of scores all seats.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib

matplotlib.use("svg")  # no window, no display

import matplotlib.pyplot as plt  # noqa: E402
import polars as pl  # noqa: E402

#: Colours that can be told apart with any colour vision (Okabe and Ito).
COLOURS = ["#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"]
#: The same tables give the same bytes.
matplotlib.rcParams["svg.hashsalt"] = "formicarium"
matplotlib.rcParams["svg.fonttype"] = "none"


def read(exports: list[tuple[str, Path]], table: str) -> pl.DataFrame:
    """A table of all exports in one, with columns `label` and `run` in front."""
    frames = []
    for label, folder in exports:
        file = folder / f"{table}.parquet"
        if not file.is_file():
            sys.exit(f"plots.py: {file} is not there; make it with: formicarium export RUN --to parquet --out {folder}")
        frame = pl.read_parquet(file)
        run = pl.read_parquet(folder / "runs.parquet", columns=["run"]).item()
        frames.append(frame.select(pl.lit(label).alias("label"), pl.lit(run).alias("run"), pl.all()))
    return pl.concat(frames)


def apples(metrics: pl.DataFrame) -> plt.Figure:
    """Apples on the field by tick: the mean of each label, and the range of its runs."""
    left = metrics.filter(pl.col("name") == "apples")
    if left.is_empty():
        sys.exit("plots.py: there is no metric 'apples'; are these runs of commons?")
    unit = left["unit"][0]
    by_tick = (
        left.group_by("label", "tick", maintain_order=True)
        .agg(
            pl.col("value").mean().alias("mean"),
            pl.col("value").min().alias("least"),
            pl.col("value").max().alias("most"),
        )
        .sort("label", "tick")
    )
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for colour, label in zip(COLOURS, left["label"].unique(maintain_order=True)):
        of = by_tick.filter(pl.col("label") == label)
        axes.fill_between(of["tick"], of["least"], of["most"], color=colour, alpha=0.2, linewidth=0)
        axes.plot(of["tick"], of["mean"], color=colour, label=label)
    axes.set(title="Left on the field", xlabel="tick", ylabel=unit, ylim=(0, None))
    axes.legend()
    return figure


def scores(seats: pl.DataFrame) -> plt.Figure:
    """Final scores: a box for each label, and a point for each seat."""
    ended = seats.drop_nulls("score")
    if ended.is_empty():
        sys.exit("plots.py: no seat has a score; none of these runs has ended")
    labels = ended["label"].unique(maintain_order=True).to_list()
    groups = [ended.filter(pl.col("label") == label)["score"].to_list() for label in labels]
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    axes.boxplot(groups, tick_labels=labels, showfliers=False, medianprops={"color": "#333333"})
    for place, (colour, points) in enumerate(zip(COLOURS, groups), start=1):
        # Side by side in the order of their points, so that none hides another.
        spread = [place + 0.3 * ((n + 0.5) / len(points) - 0.5) for n in range(len(points))]
        axes.scatter(spread, sorted(points), color=colour, s=16, zorder=3)
    axes.set(title="Points of each seat at the end", ylabel="points", ylim=(0, None))
    return figure


def main() -> None:
    if len(sys.argv) < 3 or any("=" not in argument for argument in sys.argv[2:]):
        sys.exit(__doc__)
    out = Path(sys.argv[1])
    pairs = (argument.split("=", 1) for argument in sys.argv[2:])
    exports = [(label, Path(folder)) for label, folder in pairs]
    if len({label for label, _ in exports}) > len(COLOURS):
        sys.exit(f"plots.py: at most {len(COLOURS)} labels can be told apart")
    figures = {"apples": apples(read(exports, "metrics")), "scores": scores(read(exports, "seats"))}
    out.mkdir(parents=True, exist_ok=True)
    for name, figure in figures.items():
        figure.savefig(out / f"{name}.svg", metadata={"Date": None})
        print(out / f"{name}.svg")


if __name__ == "__main__":
    main()
