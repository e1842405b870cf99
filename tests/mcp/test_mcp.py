"""A stock MCP client at a seat of the real host: `DIR/venv/bin/python tests/mcp/test_mcp.py` after `tests/mcp/install.sh DIR`.

FORMICARIUM_BIN names the host's binary."""

from __future__ import annotations

import asyncio
import shutil
import stat
import subprocess
import sys
import tempfile
import unittest
import urllib.error
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from client import call, connect, play  # noqa: E402
from host import ROOT, SEAT, Host  # noqa: E402


def tick(words: str) -> int:
    """The tick of an observation in words."""
    return int(words.split()[1].rstrip("."))


class Seat(unittest.TestCase):
    def host(self, *args: str) -> Host:
        host = Host(*args)
        self.addCleanup(host.close)
        return host

    def test_a_client_plays_twenty_ticks_and_the_run_replays(self) -> None:
        host = self.host("--ticks", "20", "--deadline", "30s")
        self.assertEqual(stat.S_IMODE(host.file.stat().st_mode), 0o600)

        async def session() -> None:
            async with connect(host.url, host.headers) as client:
                tools = {tool.name: tool for tool in (await client.list_tools()).tools}
                self.assertEqual(list(tools), ["move", "turn", "zap", "say", "wait", "look", "remember"])
                self.assertEqual(tools["move"].input_schema["required"], ["dir"])
                resources = (await client.list_resources()).resources
                self.assertEqual(
                    [str(resource.uri) for resource in resources],
                    ["formicarium://rules", "formicarium://observation"],
                )
                rules = (await client.read_resource("formicarium://rules")).contents[0]
                self.assertIn("Apples grow back", rules.text)
                said, refused = await call(client, "look")
                self.assertFalse(refused, said)
                seen = await play(client, 20)
                ticks = [tick(text) for text in seen]
                # Whether the first call comes before the world begins or after is chance; from there on none is missed.
                self.assertIn(ticks[0], (0, 1))
                self.assertEqual(ticks, list(range(ticks[0], 20)))

        asyncio.run(session())
        summary = host.finish()
        self.assertEqual((summary["ticks"], summary["seats"][0]["status"]), (20, "playing"))
        self.assertIsNone(summary["seats"][0]["trouble"])
        self.assertFalse(host.file.exists(), "the token's file outlives the run")
        self.assertIn("20", host.replay())

    def test_a_client_is_asked_at_the_end_and_corrected(self) -> None:
        host = self.host("--ticks", "3", "--deadline", "30s", "--set", "interview=true")

        async def session() -> None:
            async with connect(host.url, host.headers) as client:
                tools = {tool.name: tool for tool in (await client.list_tools()).tools}
                self.assertEqual(tools["answer_forecast"].input_schema["required"], ["apples", "trust"])
                words, refused = await call(client, "answer_lesson", answer="nothing")
                self.assertEqual((words, refused), ("you are not asked that now", True))
                words, _ = await call(client, "wait")
                while words.startswith("Tick "):
                    words, _ = await call(client, "wait")
                self.assertIn("You are asked: What would you do otherwise if it all began anew?", words)
                words, refused = await call(client, "move", dir="east")
                self.assertTrue(refused)
                self.assertTrue(words.startswith("Not done. The run is over: "), words)
                words, refused = await call(client, "answer_lesson", lesson="nothing")
                self.assertTrue(refused)
                self.assertIn('"answer" is a required property', words)
                words, refused = await call(client, "answer_lesson", answer="leave more")
                self.assertFalse(refused, words)
                self.assertIn("The run is over", words)

        asyncio.run(session())
        host.finish()
        answers = host.query("SELECT status, value FROM answers WHERE question = 'lesson'")
        self.assertEqual(answers, [("answered", '{"answer":"leave more"}')])
        host.replay()

    def test_wrong_tokens_open_nothing(self) -> None:
        host = self.host("--ticks", "1")
        right = host.headers["Authorization"]
        for token in (right[:-1] + "g", "Bearer ", "Basic " + right[7:]):
            request = urllib.request.Request(host.url, data=b"{}", headers={"Authorization": token})
            with self.assertRaises(urllib.error.HTTPError) as caught:
                urllib.request.urlopen(request)
            with caught.exception as error:
                self.assertEqual(error.code, 401)
                self.assertIn("opens no seat", error.read().decode())

    def test_a_killed_client_leaves_its_seat_and_another_one_takes_it(self) -> None:
        host = self.host("--ticks", "0", "--mode", "realtime", "--hz", "20")
        command = [sys.executable, str(HERE / "client.py"), str(host.file), "1000000"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as player:
            assert player.stdout is not None
            lines = [player.stdout.readline() for _ in range(5)]
            self.assertTrue(all(line.startswith("Tick ") for line in lines), lines)
            player.kill()
        host.wait_for("the connection to its client is gone (fault of the agent; a client can take the seat at any time)")

        async def session() -> list[str]:
            async with connect(host.url, host.headers) as client:
                return await play(client, 3)

        seen = asyncio.run(session())
        # The world went on while nobody sat there.
        self.assertGreater(tick(seen[0]), tick(lines[-1]) + 20)
        host.wait_for("its client has ended its session (a client can take the seat at any time)")
        summary = host.finish(interrupt=True)
        self.assertEqual(summary["end"], "interrupted")
        host.replay()

    def test_a_held_call_outlives_limits_on_silence(self) -> None:
        # A tick of 8 s, and an HTTP library that gives up on a silent answer after 5 s.
        host = self.host("--ticks", "0", "--mode", "realtime", "--hz", "0.125")

        async def session() -> None:
            async with connect(host.url, host.headers) as client:
                words, refused = await call(client, "wait")
                self.assertFalse(refused, words)
                before = tick(words)
                words, refused = await call(client, "move", dir="east")
                self.assertFalse(refused, words)
                self.assertEqual(tick(words), before + 1)

        asyncio.run(session())
        host.finish(interrupt=True)

    def test_a_second_client_takes_over(self) -> None:
        host = self.host("--ticks", "0", "--mode", "realtime", "--hz", "20")

        async def session() -> None:
            async with connect(host.url, host.headers) as first:
                await play(first, 2)
                async with connect(host.url, host.headers) as second:
                    words, refused = await call(first, "look")
                    self.assertTrue(refused)
                    self.assertIn("has taken this seat", words)
                    await play(second, 2)

        asyncio.run(session())
        host.finish(interrupt=True)

    def test_a_run_begins_without_a_client_when_the_time_of_its_cast_is_over(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            scenario = Path(folder) / "commons"
            shutil.copytree(ROOT / "scenarios/commons", scenario)
            cast = ["format = 1", "[[seat]]", f'match = "{SEAT}"', 'agent = "mcp"', 'ready = "50ms"']
            cast += ["[[seat]]", 'match = "*"', 'agent = "builtin:noop"']
            (scenario / "casts/open.toml").write_text("\n".join(cast))
            host = Host("--cast", "open", "--ticks", "0", "--mode", "realtime", "--hz", "20", scenario=scenario, agents=())
            self.addCleanup(host.close)
            host.wait_for("no client has come yet")
            host.wait_for("agents are ready ready=7 away=1")

            async def session() -> None:
                async with connect(host.url, host.headers) as client:
                    await play(client, 2)

            asyncio.run(session())
            summary = host.finish(interrupt=True)
            self.assertGreater(summary["ticks"], 2)
            host.replay()


if __name__ == "__main__":
    unittest.main()
