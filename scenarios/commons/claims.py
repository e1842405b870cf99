#!/usr/bin/env python3
"""Checks what the README says of the casts, with real runs: `python3 claims.py --seeds 20`.

Over all seeds, 1000 ticks each: `greedy` kills every apple before tick 500; `restrained` still has apples at the end
and harvests at least five times as much as `greedy` with the same seed. Ends with status 1 and names the seed if one
does not. `--keep DIR` keeps the recordings, `--plot` draws plot.svg from them.

The host's binary is FORMICARIUM_BIN, or `formicarium` in PATH. Python's standard library only.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

HERE = Path(__file__).resolve().parent
CASTS = ("greedy", "restrained")
TICKS = 1000
#: By when greed has killed every apple, and how many times as much restraint harvests at least.
BEFORE, TIMES = 500, 5


@dataclass
class Outcome:
    """What one run came to."""

    cast: str
    seed: int
    folder: Path
    #: The first tick without an apple; None if there was one in each.
    gone: Optional[int]
    left: int
    harvested: float


def run(binary: str, cast: str, seed: int, folder: Path) -> Outcome:
    """One run with real agent processes, and what its recording says."""
    command = [binary, "run", str(HERE), "--cast", cast, "--seed", str(seed), "--ticks", str(TICKS)]
    # The shipped players alone; the folder may be one that nobody else enters.
    command += ["--headless", "--json", "--out", str(folder), "--isolation", "advisory"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"claims.py: {' '.join(command)} ended with status {done.returncode}:\n{done.stderr[-2000:]}")
    summary = json.loads(done.stdout)
    if summary["ticks"] != TICKS:
        sys.exit(f"claims.py: {cast}, seed {seed} ended at tick {summary['ticks']}: {summary['end']}")
    with sqlite3.connect(f"file:{folder / 'run.db'}?mode=ro", uri=True) as recording:
        apples = recording.execute("SELECT tick, value FROM metrics WHERE name = 'apples' ORDER BY tick").fetchall()
    gone = next((tick for tick, value in apples if value == 0), None)
    return Outcome(cast, seed, folder, gone, int(apples[-1][1]), sum(seat["score"] for seat in summary["seats"]))


def faults(greedy: Outcome, restrained: Outcome) -> list[str]:
    """Which claims do not hold for a seed."""
    wrong = []
    if greedy.gone is None or greedy.gone >= BEFORE:
        wrong.append(f"greedy leaves apples until tick {greedy.gone or TICKS}")
    if restrained.gone is not None or restrained.left == 0:
        wrong.append(f"restrained has no apple at tick {restrained.gone}")
    if restrained.harvested < TIMES * greedy.harvested:
        wrong.append(f"restrained harvests {restrained.harvested:g}, greedy {greedy.harvested:g}")
    return wrong


def main() -> None:
    parser = argparse.ArgumentParser(description="Checks the README's claims about the casts with real runs.")
    parser.add_argument("--seeds", type=int, default=20, help="how many seeds, from 1 on (default 20)")
    parser.add_argument("--jobs", type=int, default=2, help="how many runs at a time (default 2)")
    parser.add_argument("--keep", type=Path, help="keep the recordings in this folder")
    parser.add_argument("--plot", action="store_true", help="draw plot.svg from the recordings")
    options = parser.parse_args()
    binary = os.environ.get("FORMICARIUM_BIN") or shutil.which("formicarium")
    if not binary:
        sys.exit("claims.py: there is no formicarium in PATH; set FORMICARIUM_BIN to the binary")
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(options.jobs) as pool:
        folder = options.keep or Path(scratch)
        jobs = [
            [pool.submit(run, binary, cast, seed, folder / f"{cast}-{seed}") for cast in CASTS]
            for seed in range(1, options.seeds + 1)
        ]
        outcomes, failed = [], False
        print("seed  greedy: gone at tick, harvested  restrained: left, harvested  ratio")
        for pair in jobs:
            greedy, restrained = (job.result() for job in pair)
            outcomes += [greedy, restrained]
            ratio = restrained.harvested / max(greedy.harvested, 1)
            print(
                f"{greedy.seed:4}  {greedy.gone or '-':>21}  {greedy.harvested:9g}"
                f"  {restrained.left:16}  {restrained.harvested:9g}  {ratio:5.1f}",
                flush=True,
            )
            for fault in faults(greedy, restrained):
                failed = True
                print(f"      seed {greedy.seed}: {fault}", file=sys.stderr)
        if options.plot:
            pairs = [f"{each.cast}={each.folder}" for each in sorted(outcomes, key=lambda each: each.cast)]
            subprocess.run([sys.executable, str(HERE / "plot.py"), str(HERE / "plot.svg"), *pairs], check=True)
    if failed:
        sys.exit(1)
    print(f"all claims hold for {options.seeds} seeds")


if __name__ == "__main__":
    main()
