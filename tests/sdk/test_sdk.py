"""Plays the commons with both Agent SDK examples against a stand-in of the model: `python3 tests/sdk/test_sdk.py`.

Needs a host (FORMICARIUM_BIN, else target/release/formicarium) and what `agents/examples/install.sh` installs (`make
agents`; in FORMICARIUM_AGENTS, else target/agents). Without the latter it says so and skips. Nothing leaves loopback,
and no model is asked.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

REPO = Path(__file__).resolve().parents[2]
EXAMPLES = REPO / "agents" / "examples"
HOST = Path(os.environ.get("FORMICARIUM_BIN", REPO / "target" / "release" / "formicarium"))
AGENTS = Path(os.environ.get("FORMICARIUM_AGENTS", REPO / "target" / "agents")).resolve()

Json = dict[str, Any]

TICKS = 12
#: Which seat is which example; the token tells them apart in the stand-in's log.
SEATS = {"harvester-1": "python", "harvester-2": "typescript"}


def cast(url: str) -> str:
    """A cast with one seat of each example. JSON strings are TOML strings."""
    model = {"ANTHROPIC_BASE_URL": url, "MODEL": "claude-standin"}
    rules = [
        {
            "match": "harvester-1",
            "command": str(AGENTS / "venv" / "bin" / "python"),
            "args": ["agent.py"],
            "files": [str(EXAMPLES / "claude-agent-sdk-python" / "agent.py"), str(EXAMPLES / "formicarium.py")],
            "env": {**model, "ANTHROPIC_API_KEY": "python"},
            "connect": [urlsplit(url).port],
            "read": [str(AGENTS)],
        },
        {
            "match": "harvester-2",
            "command": "node",
            "args": ["agent.mjs"],
            "files": [str(EXAMPLES / "claude-agent-sdk-typescript" / "agent.mjs")],
            "env": {
                **model,
                "ANTHROPIC_API_KEY": "typescript",
                "FORMICARIUM_NODE_MODULES": str(AGENTS / "node_modules"),
            },
            "connect": [urlsplit(url).port],
            "read": [str(AGENTS)],
        },
    ]
    lines = ["format = 1"]
    for rule in rules:
        lines += ["", "[[seat]]", 'ready = "60s"']
        for key, value in rule.items():
            if isinstance(value, dict):
                value = "{ " + ", ".join(f"{name} = {json.dumps(text)}" for name, text in value.items()) + " }"
                lines.append(f"{key} = {value}")
            else:
                lines.append(f"{key} = {json.dumps(value)}")
    return "\n".join([*lines, "", "[[seat]]", 'match = "*"', 'agent = "builtin:noop"', ""])


class Run:
    """A run of the commons with the two examples, its recording, and what the stand-in was asked."""

    def __init__(self, folder: Path, deadline: str, faults: list[Json]) -> None:
        self.out = folder / "run"
        log = folder / "log"
        (folder / "faults").write_text(json.dumps(faults))
        standin = subprocess.Popen(
            [sys.executable, str(REPO / "tests" / "standin" / "standin.py"), "--play"]
            + ["--log", str(log), "--faults", str(folder / "faults")],
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert standin.stdout is not None
            url = standin.stdout.readline().split()[2]
            scenario = folder / "commons"
            shutil.copytree(REPO / "scenarios" / "commons", scenario)
            (scenario / "casts" / "sdk.toml").write_text(cast(url))
            command = [str(HOST), "run", str(scenario), "--cast", "sdk", "--headless", "--json", "--seed", "3"]
            command += ["--ticks", str(TICKS), "--set", "harvesters=3", "--deadline", deadline, "--out", str(self.out)]
            # Limits well above the 5 s that it takes: it fails by what it did, not by how fast.
            self.done = subprocess.run(command, capture_output=True, text=True, timeout=600)
        finally:
            standin.terminate()
            standin.wait(5)
            if standin.stdout is not None:
                standin.stdout.close()
        self.requests = [json.loads(line) for line in log.read_text().splitlines()]

    def says(self) -> str:
        """What to show when something is amiss."""
        errors = [f"{path.parent.name}: {path.read_text()}" for path in sorted(self.out.glob("agents/*/stderr.log"))]
        return "\n".join([self.done.stdout, self.done.stderr, *errors])

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with sqlite3.connect(f"file:{self.out / 'run.db'}?mode=ro", uri=True) as db:
            return db.execute(query).fetchall()

    def acts(self) -> dict[str, list[list[str]]]:
        """By seat, for each tick in which it acted, the names of its actions."""
        names = {seat: name for seat, name in self.rows("select seat, name from seats")}
        actions = ["wait", "move", "turn", "zap", "say"]
        found: dict[str, list[list[str]]] = {name: [] for name in names.values()}
        for (body,) in self.rows("select body from inputs order by tick"):
            for entry in json.loads(body)["seats"]:
                if entry["body"]["t"] == "act":
                    found[names[entry["seat"]]].append([actions[each["action"]] for each in entry["body"]["v"]])
        return found


@unittest.skipUnless(
    (AGENTS / "installed").exists(), f"`make agents` has not been run: nothing is installed in {AGENTS}"
)
class Sdk(unittest.TestCase):
    def run_with(self, deadline: str, faults: list[Json]) -> Run:
        self.assertTrue(HOST.exists(), f"there is no host at {HOST}: make build, or set FORMICARIUM_BIN")
        folder = tempfile.TemporaryDirectory()
        # The users of seats pass through it.
        Path(folder.name).chmod(0o755)
        self.addCleanup(folder.cleanup)
        run = Run(Path(folder.name), deadline, faults)
        self.assertEqual(run.done.returncode, 0, run.says())
        return run

    def test_both_play_each_tick_and_the_run_replays(self) -> None:
        run = self.run_with("60s", [])
        acts = run.acts()
        for seat, token in SEATS.items():
            with self.subTest(seat=seat, example=token):
                self.assertGreaterEqual(len(acts[seat]), TICKS - 1, run.says())
                self.assertGreaterEqual(sum("move" in act for act in acts[seat]), TICKS - 2, run.says())
                # The tenth answer of the player speaks and thinks.
                self.assertIn(["say", "move"], acts[seat])
                asked = [entry for entry in run.requests if entry["token"] == token]
                tools = {f"mcp__world__{name}" for name in ("wait", "move", "turn", "zap", "say")}
                self.assertEqual({tuple(sorted(entry["tools"])) for entry in asked}, {tuple(sorted(tools))})
                self.assertLessEqual(len(asked), TICKS + 1, "a tick costs one request")
                self.assertEqual(len({entry["session"] for entry in asked}), 1, "one session lasts the run")
        thinkers = {seat for seat, _ in run.rows("select seat, text from thoughts")}
        self.assertEqual(thinkers, set(SEATS))
        places = run.rows("select count(*) from notes where kind = 'log'")
        self.assertEqual(places, [(0,)], run.says())
        replay = subprocess.run([str(HOST), "replay", str(run.out)], capture_output=True, text=True, timeout=120)
        self.assertEqual(replay.returncode, 0, replay.stdout + replay.stderr)

    def test_faults_of_the_model_are_logged_passes(self) -> None:
        # The third request is refused thrice (the CLI tries again twice), then one hangs in mid-stream, another is cut.
        faults: list[Json] = [
            {"match": {"nth": [3, 4, 5]}, "do": {"status": 529, "retry_after": 1}},
            {"match": {"nth": 7}, "do": {"stall": 120}},
            {"match": {"nth": 9}, "do": {"cut": True}},
        ]
        run = self.run_with("20s", faults)
        acts = run.acts()
        for seat in SEATS:
            with self.subTest(seat=seat):
                self.assertGreaterEqual(sum("move" in act for act in acts[seat]), TICKS - 4, run.says())
                where = f"join seats using (seat) where kind = 'log' and name = '{seat}'"
                logs = [text for (text,) in run.rows(f"select text from notes {where}")]
                self.assertEqual(len(logs), 2, logs)
                self.assertIn("529", logs[0])
                self.assertIn("too long", logs[1])
        self.assertEqual(run.rows("select count(*) from notes where text like 'exited%'"), [(0,)], run.says())


class Pins(unittest.TestCase):
    def test_the_examples_pin_what_is_installed(self) -> None:
        """An example that is copied alone gets the versions that this test ran with."""
        whole, own = (
            json.loads((EXAMPLES / folder / "package-lock.json").read_text())["packages"]
            for folder in ("", "claude-agent-sdk-typescript")
        )
        differ = {
            name: (package.get("version"), whole.get(name, {}).get("version"))
            for name, package in own.items()
            if name and package.get("version") != whole.get(name, {}).get("version")
        }
        self.assertEqual(differ, {})


if __name__ == "__main__":
    unittest.main(verbosity=2)
