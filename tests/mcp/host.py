"""A run of the real host with a seat that is open to MCP clients, for tests. Standard library only."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
BIN = os.environ.get("FORMICARIUM_BIN", str(ROOT / "target/debug/formicarium"))
SEAT = "harvester-1"


class Host:
    """The commons with one seat open to clients and seven that do nothing."""

    def __init__(
        self,
        *args: str,
        scenario: Path = ROOT / "scenarios/commons",
        agents: tuple[str, ...] = (f"{SEAT}=mcp", "*=builtin:noop"),
    ) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="formicarium-mcp-")
        # The users of seats pass through it.
        Path(self.folder.name).chmod(0o755)
        self.out = Path(self.folder.name) / "run"
        command = [BIN, "run", str(scenario), "--seed", "1", "--headless", "--json", "--out", str(self.out), *args]
        for agent in agents:
            command += ["--agent", agent]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.log: list[str] = []
        self.more = threading.Condition()
        self.ended = False
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        self.wait_for("this seat waits for an MCP client")
        self.file = self.out / "agents" / SEAT / "mcp.json"
        server = json.loads(self.file.read_text())["mcpServers"]["formicarium"]
        self.url: str = server["url"]
        self.headers: dict[str, str] = server["headers"]

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self.more:
                self.log.append(line)
                self.more.notify_all()
        with self.more:
            self.ended = True
            self.more.notify_all()

    def wait_for(self, words: str) -> str:
        """The first line of the log with these words, once it is there."""
        with self.more:
            seen = self.more.wait_for(
                lambda: self.ended or any(words in line for line in self.log), timeout=60
            )
            found = [line for line in self.log if words in line]
        if not seen or not found:
            raise AssertionError(f"the log says nothing of {words!r}:\n{''.join(self.log)}")
        return found[0]

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of the recording."""
        with sqlite3.connect(self.out / "run.db") as database:
            return database.execute(sql).fetchall()

    def finish(self, interrupt: bool = False) -> dict[str, Any]:
        """Waits for the end (or brings it about); what the run came to."""
        if interrupt:
            self.process.send_signal(signal.SIGINT)
        out, _ = self.process.stdout.read(), self.process.wait(60)  # type: ignore[union-attr]
        self.reader.join(10)
        if self.process.returncode != 0:
            raise AssertionError(f"the host ended with {self.process.returncode}:\n{''.join(self.log)}")
        summary: dict[str, Any] = json.loads(out)
        return summary

    def replay(self) -> str:
        """Replays the recording, which checks every hash."""
        done = subprocess.run([BIN, "replay", str(self.out)], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise AssertionError(f"the run does not replay:\n{done.stdout}{done.stderr}")
        return done.stdout

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.reader.join(10)
        if self.process.stdout:
            self.process.stdout.close()
        if self.process.stderr:
            self.process.stderr.close()
        self.folder.cleanup()
