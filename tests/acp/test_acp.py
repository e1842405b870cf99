"""A seat played by a real ACP agent: `python3 tests/acp/test_acp.py`.

The adapter of Claude Code for ACP plays 20 ticks of the commons against the stand-in of the model's API, beside a
builtin that waits. The host is `FORMICARIUM_BIN`, or what cargo has built. Where the agents are not installed
(`agents/examples/install.sh`) the test says so and does nothing else.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
TICKS = 20
#: In the command line of the agent itself.
AGENT = "claude-agent-acp/dist/index.js"
#: The key that the host sends; no agent may ever see it.
KEY = "the-real-key-of-the-test"


def binary() -> Path | None:
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    given = os.environ.get("FORMICARIUM_BIN")
    places = [Path(given)] if given else [target / "release/formicarium", target / "debug/formicarium"]
    return next((place for place in places if place.is_file()), None)


def processes(mark: str) -> dict[int, tuple[str, dict[str, str]]]:
    """The living processes with this text in their environment: argv, and the environment."""
    found: dict[int, tuple[str, dict[str, str]]] = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            environ = (folder / "environ").read_bytes().decode(errors="replace")
            argv = (folder / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
        except OSError:
            continue
        if mark in environ and argv:
            pairs = dict(pair.split("=", 1) for pair in environ.split("\0") if "=" in pair)
            found[int(folder.name)] = (argv, pairs)
    return found


class Acp(unittest.TestCase):
    def setUp(self) -> None:
        host = binary()
        if host is None:
            self.skipTest("NOT TESTED: there is no host; build it (make build), or name it with FORMICARIUM_BIN")
        self.host = host
        agent = host.parent.parent / "agents/bin/claude-acp"
        if not agent.is_file():
            self.skipTest(f"NOT TESTED: the ACP adapter of Claude Code is not at {agent}; install it (make agents)")
        self.folder = Path(tempfile.mkdtemp(prefix="formicarium-acp-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        # The users of seats pass through it.
        self.folder.chmod(0o755)
        self.log = self.folder / "standin.log"
        standin = subprocess.Popen(
            [sys.executable, ROOT / "tests/standin/standin.py", "--port", "0", "--play", "--log", self.log],
            stdout=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(standin.wait)
        self.addCleanup(standin.kill)
        assert standin.stdout is not None
        self.addCleanup(standin.stdout.close)
        self.url = standin.stdout.readline().split()[-1]

    def run_host(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "ANTHROPIC_BASE_URL": self.url, "ANTHROPIC_API_KEY": KEY}
        return subprocess.run([self.host, *arguments], cwd=ROOT, env=env, capture_output=True, text=True, timeout=300)

    def test_it_plays_and_leaves_nothing(self) -> None:
        # Longer than a socket's path may be: the bridge and the host go by the open folder.
        run = self.folder / ("a-long-folder-" * 9)
        mark = f"HOME={run}"
        seen: dict[int, tuple[str, dict[str, str]]] = {}
        over = threading.Event()

        def watch() -> None:
            while not over.wait(0.05):
                seen.update(processes(mark))

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            done = self.run_host(
                "run", "scenarios/commons", "--cast", "acp", "--agent", "harvester-2=builtin:noop",
                "--set", "harvesters=2", "--ticks", str(TICKS), "--deadline", "60s", "--seed", "1",
                "--headless", "--json", "--out", run,
            )  # fmt: skip
        finally:
            over.set()
            watcher.join()
        self.assertEqual(done.returncode, 0, done.stderr)
        summary: dict[str, Any] = json.loads(done.stdout)
        self.assertEqual(summary["ticks"], TICKS)
        self.assertEqual([seat["trouble"] for seat in summary["seats"]], [None, None], done.stderr)
        self.assertGreater(summary["seats"][0]["score"], 0, "it eats apples")

        self.assertEqual(processes(mark), {}, "no process is left")
        self.assertFalse((run / "agents/harvester-1/mcp.sock").exists(), "no socket is left")
        self.assertEqual((run / "agents/harvester-1").stat().st_mode & 0o777, 0o700, "the seat's folder is closed")

        self.secrets(seen)
        self.recording(run)
        replayed = self.run_host("replay", run, "--json")
        self.assertEqual(replayed.returncode, 0, replayed.stdout + replayed.stderr)

    def test_it_is_asked_and_answers_by_a_tool(self) -> None:
        run = self.folder / "asked"
        done = self.run_host(
            "run", "scenarios/commons", "--cast", "acp", "--agent", "harvester-2=builtin:noop", "--set", "harvesters=2",
            "--set", "interview=true", "--ticks", "2", "--deadline", "60s", "--seed", "1", "--headless", "--out", run,
        )  # fmt: skip
        self.assertEqual(done.returncode, 0, done.stderr)
        with sqlite3.connect(run / "run.db") as database:
            answers = database.execute("SELECT question, asked, tick, status, value FROM answers").fetchall()
        expected = [
            ("forecast", 0, 0, "answered", '{"apples":0,"trust":0}'),
            ("lesson", 2, 2, "answered", '{"answer":"hm"}'),
        ]
        self.assertEqual(answers, expected)

    def test_it_is_killed_and_goes_on_in_its_session(self) -> None:
        run = self.folder / "killed"
        mark = f"HOME={run}"
        env = {**os.environ, "ANTHROPIC_BASE_URL": self.url, "ANTHROPIC_API_KEY": KEY}
        command: list[str | Path] = [
            self.host, "run", "scenarios/commons", "--cast", "acp", "--agent", "harvester-2=builtin:noop",
            "--set", "harvesters=2", "--ticks", "0", "--mode", "realtime", "--hz", "5", "--seed", "1",
            "--headless", "--json", "--out", run,
        ]  # fmt: skip
        host = subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            self.wait_for("it plays", lambda: len(self.sessions()) >= 5)
            agents = [pid for pid, (argv, _) in processes(mark).items() if AGENT in argv]
            self.assertEqual(len(agents), 1)
            os.kill(agents[0], signal.SIGKILL)
            before = len(self.sessions())
            self.wait_for("it plays again", lambda: len(self.sessions()) >= before + 5)
            host.send_signal(signal.SIGINT)
            out, errors = host.communicate(timeout=60)
        finally:
            host.kill()
            host.wait()
        self.assertEqual(host.returncode, 0, errors)
        self.assertIn("killed", out + errors)
        self.assertEqual(len(set(self.sessions())), 1, "the same session went on")
        self.assertEqual(processes(mark), {}, "no process is left")
        replayed = self.run_host("replay", run, "--json")
        self.assertEqual(replayed.returncode, 0, replayed.stdout + replayed.stderr)

    def sessions(self) -> list[str]:
        """The program's sessions, one for each answer with a call of a tool."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        asked = [json.loads(line) for line in lines if line.endswith("}")]
        return [
            entry["session"]
            for entry in asked
            if any("tool" in block for block in entry.get("answered", {}).get("blocks", []))
        ]

    def wait_for(self, what: str, done: Callable[[], bool]) -> None:
        end = time.monotonic() + 120
        while not done():
            self.assertLess(time.monotonic(), end, f"{what}, in time")
            time.sleep(0.05)

    def secrets(self, seen: dict[int, tuple[str, dict[str, str]]]) -> None:
        """The seat's processes were seen: agent, program and bridge; and none has a token or a key in its argv."""
        commands = [argv for argv, _ in seen.values()]
        for word in (AGENT, "stream-json", "formicarium bridge"):
            self.assertTrue(any(word in argv for argv in commands), f"{word}: {commands}")
        tokens = {env["ANTHROPIC_API_KEY"] for _, env in seen.values() if "ANTHROPIC_API_KEY" in env}
        self.assertEqual(len(tokens), 1, "the seat has a token of its own")
        for argv, env in seen.values():
            self.assertNotIn(KEY, argv)
            self.assertNotIn(KEY, " ".join(env.values()), "the real key stays with the host")
            for token in tokens:
                self.assertNotIn(token, argv)
        asked = [json.loads(line) for line in self.log.read_text().splitlines()]
        self.assertEqual({entry["token"] for entry in asked if "nth" in entry}, {KEY}, "all by the model door")

    def recording(self, run: Path) -> None:
        with sqlite3.connect(f"file:{run / 'run.db'}?mode=ro", uri=True) as db:
            said = db.execute("SELECT tick, kind, text FROM transcripts WHERE seat = 0").fetchall()
            thoughts = db.execute("SELECT count(*) FROM thoughts").fetchone()[0]
        db.close()
        moved = {tick for tick, kind, text in said if kind == "tool-call" and text.startswith("move ")}
        self.assertGreaterEqual(len(moved), TICKS - 2, f"it acts in nearly each tick: {said}")
        kinds = {kind for _, kind, _ in said}
        self.assertLessEqual({"text", "tool-call", "tool-result"}, kinds)
        self.assertGreaterEqual(thoughts, 1, "its words come with its acts")


if __name__ == "__main__":
    unittest.main()
