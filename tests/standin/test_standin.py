"""Tests of the stand-in against the running server: `python3 tests/standin/test_standin.py`. Standard library only."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
import play  # noqa: E402

Json = dict[str, Any]

SEEN = """Tick 6 of 1000. You are harvester-5 at (15,14) facing east. Score 0.
harvester-6: 5 north 4 east.
Near: apple 1 south 3 west, apple 1 south 1 west, apple 4 north, and more.
Map (north is up, top left is (13,13); @ you, o others, A apple, # rock):
.....
.#@##
.A.o.
Last move: ok.
"""
TOOLS = [
    {"name": f"mcp__world__{name}", "input_schema": {"type": "object"}}
    for name in ("wait", "move", "turn", "zap", "say")
]


class Server:
    """A stand-in of its own for a test."""

    def __init__(self, *options: str, faults: list[Json] | None = None) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.log_file = Path(self.folder.name) / "log"
        command = [sys.executable, str(HERE / "standin.py"), "--port", "0", "--log", str(self.log_file), *options]
        if faults is not None:
            rules = Path(self.folder.name) / "faults"
            rules.write_text(json.dumps(faults))
            command += ["--faults", str(rules)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith("listening on http://127.0.0.1:"), line
        self.port = urlsplit(line.split()[2]).port

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *what: Any) -> None:
        self.process.terminate()
        self.process.wait(5)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.folder.cleanup()

    def send(self, body: Any, token: str = "one", timeout: float = 10, **headers: str) -> tuple[int, bytes, Any]:
        """Status, body and headers of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            raw = body if isinstance(body, bytes) else json.dumps(body).encode()
            named = {name.replace("_", "-"): text for name, text in headers.items()}
            connection.request("POST", "/v1/messages?beta=true", raw, {"x-api-key": token, **named})
            answer = connection.getresponse()
            return answer.status, answer.read(), answer.headers
        finally:
            connection.close()

    def ask(self, text: Any, tools: list[Json] | None = None, token: str = "one", **more: Any) -> Json:
        """The message that answers a conversation of one user message, not streamed."""
        messages = text if isinstance(text, list) else [{"role": "user", "content": text}]
        status, body, _ = self.send({"model": "m", "messages": messages, "tools": tools or [], **more}, token)
        assert status == 200, (status, body)
        answer: Json = json.loads(body)
        return answer

    def log(self) -> list[Json]:
        return [json.loads(line) for line in self.log_file.read_text().splitlines()]


def body(text: str, stream: bool = True) -> Json:
    return {"model": "m", "stream": stream, "messages": [{"role": "user", "content": text}]}


def assemble(raw: bytes) -> tuple[Json, list[str]]:
    """A message put together from its events, and the kinds of events."""
    message: Json = {}
    kinds: list[str] = []
    for part in raw.decode().split("\n\n"):
        if not part:
            continue
        event = json.loads(part.split("data: ", 1)[1])
        kinds.append(event["type"])
        if event["type"] == "message_start":
            message = event["message"]
        elif event["type"] == "content_block_start":
            message["content"].append(event["content_block"])
        elif event["type"] == "content_block_delta":
            block, delta = message["content"][event["index"]], event["delta"]
            if delta["type"] == "text_delta":
                block["text"] += delta["text"]
            else:
                block["input"] = json.loads(delta["partial_json"])
        elif event["type"] == "message_delta":
            message.update(event["delta"])
            message["usage"].update(event["usage"])
    return message, kinds


class Scripts(unittest.TestCase):
    def test_steps_by_number_of_answers(self) -> None:
        script = (
            'SCRIPT:[{"text":"a"},{"tool":"T","input":{"x":1},"text":"b"},{"tools":[{"tool":"U"},{"tool":"V"}]}]END'
        )
        messages: list[Json] = [{"role": "user", "content": script}]
        with Server() as server:
            stops, answers = [], []
            for _ in range(4):
                answer = server.ask(messages)
                messages += [{"role": "assistant", "content": answer["content"]}, {"role": "user", "content": "go on"}]
                stops.append(answer["stop_reason"])
                answers.append([block.get("text") or (block["name"], block["input"]) for block in answer["content"]])
        self.assertEqual(answers, [["a"], ["b", ("T", {"x": 1})], [("U", {}), ("V", {})], ["script over"]])
        self.assertEqual(stops, ["end_turn", "tool_use", "tool_use", "end_turn"])

    def test_streamed_is_the_same_as_whole(self) -> None:
        text = 'SCRIPT:[{"tool":"T","input":{"x":"\\u00e9"},"text":"hello"}]END'
        with Server() as server:
            message, kinds = assemble(server.send(body(text))[1])
            whole = json.loads(server.send(body(text, stream=False))[1])
            self.assertEqual(server.send(body(text), token="two")[1], server.send(body(text), token="three")[1])
        blocks = [{key: block[key] for key in block if key != "id"} for block in message["content"]]
        self.assertEqual(blocks, [{key: block[key] for key in block if key != "id"} for block in whole["content"]])
        self.assertEqual(message["stop_reason"], "tool_use")
        self.assertEqual((kinds[0], kinds[-2:]), ("message_start", ["message_delta", "message_stop"]))

    def test_errors_then_an_answer(self) -> None:
        text = 'SCRIPT:[{"status":529,"times":2,"retry_after":1,"then":{"text":"at last"}}]END'
        with Server() as server:
            first, second, third = (server.send(body(text)) for _ in range(3))
        self.assertEqual([first[0], second[0], third[0]], [529, 529, 200])
        self.assertEqual(first[2]["retry-after"], "1")
        self.assertEqual(json.loads(first[1])["error"]["type"], "overloaded_error")
        self.assertEqual(assemble(third[1])[0]["content"][0]["text"], "at last")

    def test_hang_and_stall(self) -> None:
        with Server() as server:
            for kind in ("hang", "stall"):
                began = time.monotonic()
                message, _ = assemble(server.send(body('SCRIPT:[{"%s":0.3}]END' % kind))[1])
                self.assertGreaterEqual(time.monotonic() - began, 0.3)
                self.assertEqual(message["content"][0]["text"], f"after {kind}")

    def test_no_script_and_what_is_no_request(self) -> None:
        with Server() as server:
            self.assertEqual(server.ask("hi")["content"], [{"type": "text", "text": "ok (no script)"}])
            self.assertEqual(server.send(b"{")[0], 400)
            self.assertEqual(server.send({"model": "m"})[0], 400)
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
            found = []
            for method, path in [("HEAD", "/"), ("GET", "/v1/models"), ("POST", "/v1/else"), ("HEAD", "/")]:
                connection.request(method, path, b"{}" if method == "POST" else None)
                answer = connection.getresponse()
                answer.read()
                found.append(answer.status)
            connection.request("POST", "/v1/messages", iter([b'{"messages":', b"[]}"]), encode_chunked=True)
            found.append(connection.getresponse().status)
            connection.close()
        self.assertEqual(found, [200, 404, 404, 200, 200])


class Play(unittest.TestCase):
    def played(self, text: str, tools: list[Json] = TOOLS) -> tuple[str, Json]:
        name, arguments, _ = play.choose(text, tools)
        return name, arguments

    def test_towards_the_nearest_apple_and_round_rocks(self) -> None:
        # The nearest is one south and one west: west is rock, so it goes south.
        self.assertEqual(self.played(SEEN), ("mcp__world__move", {"dir": "south"}))
        self.assertEqual(
            self.played(SEEN.replace(".#@", "..@").replace("1 south 1 west", "2 west")),
            ("mcp__world__move", {"dir": "west"}),
        )
        shut_in = SEEN.replace(".A.o.", ".A#o.").replace(".....\n", "..#..\n")
        self.assertEqual(self.played(shut_in), ("mcp__world__wait", {}))
        self.assertEqual(
            self.played(SEEN + "You are timed out: for 3 more ticks you can only wait and speak.\n"),
            ("mcp__world__wait", {}),
        )

    def test_without_apples_it_walks_about(self) -> None:
        ways = {self.played(f"Tick {tick} of 99. You are a at (1,1).\n")[1]["dir"] for tick in range(60)}
        self.assertGreater(len(ways), 2)

    def test_worlds_without_move(self) -> None:
        choice = {"properties": {"choice": {"type": "string", "enum": ["cooperate", "defect"]}}, "required": ["choice"]}
        tools: list[Json] = [{"name": "wait"}, {"name": "x_play", "input_schema": choice}]
        self.assertEqual(self.played("Tick 0 of 9. You are b. Score 0.\n", tools), ("x_play", {"choice": "cooperate"}))
        self.assertEqual(self.played("Tick 0 of 9. You are b. Score 0.\n", tools[:1]), ("wait", {}))

    def test_one_call_from_text_and_from_tool_result(self) -> None:
        as_result = [
            {"role": "user", "content": "play"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "x", "input": {}}]},
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": SEEN}]},
                    {"type": "text", "text": "<system-reminder>be good</system-reminder>"},
                ],
            },
        ]
        with Server("--play") as server:
            for conversation in (SEEN, as_result):
                answer = server.ask(conversation, TOOLS)
                self.assertEqual([block["type"] for block in answer["content"]], ["tool_use"])
                self.assertEqual(answer["content"][0]["input"], {"dir": "south"})
                again = server.ask(conversation, TOOLS)
                self.assertEqual(again["content"], answer["content"])
            old = [
                {"role": "user", "content": SEEN},
                {"role": "assistant", "content": "ok"},
                {"role": "user", "content": "Who are you?"},
            ]
            self.assertEqual([block["type"] for block in server.ask(old, TOOLS)["content"]], ["text"])

    def test_each_tenth_answer_speaks(self) -> None:
        messages: list[Json] = []
        kinds = []
        with Server("--play") as server:
            for _ in range(20):
                messages.append({"role": "user", "content": SEEN})
                answer = server.ask(messages, TOOLS)
                messages.append({"role": "assistant", "content": answer["content"]})
                kinds.append([block.get("name", "text") for block in answer["content"]])
        quiet, loud = ["mcp__world__move"], ["text", "mcp__world__say", "mcp__world__move"]
        self.assertEqual(kinds, ([quiet] * 9 + [loud]) * 2)

    def test_a_script_comes_before_the_player(self) -> None:
        with Server("--play") as server:
            self.assertEqual(server.ask('SCRIPT:[{"text":"s"}]END ' + SEEN, TOOLS)["content"][0]["text"], "s")


class FaultRules(unittest.TestCase):
    def test_each_status_by_token_and_number(self) -> None:
        rules = [
            {"match": {"token": "a", "nth": [2, 3]}, "do": {"status": 429, "retry_after": 7}},
            {"match": {"token": "b", "nth": 1}, "do": {"status": 401}},
            {"match": {"session": "s"}, "do": {"status": 500}},
            {"match": {"token": "c"}, "do": {"status": 529}},
        ]
        with Server(faults=rules) as server:
            self.assertEqual([server.send(body("x"), "a")[0] for _ in range(4)], [200, 429, 429, 200])
            self.assertEqual([server.send(body("x"), "b")[0] for _ in range(2)], [401, 200])
            self.assertEqual([server.send(body("x"), "c")[0] for _ in range(2)], [529, 529])
            self.assertEqual(server.send(body("x"), "d", x_claude_code_session_id="s")[0], 500)
            log = server.log()
        self.assertEqual([entry["nth"] for entry in log if entry["token"] == "a"], [1, 2, 3, 4])
        self.assertEqual(log[1]["answered"], {"status": 429, "fault": {"status": 429, "retry_after": 7}})

    def test_hang_and_stall_have_an_end_and_do_not_hold_others_up(self) -> None:
        rules = [{"match": {"token": "h"}, "do": {"hang": 0.6}}, {"match": {"token": "s"}, "do": {"stall": 0.6}}]
        with Server("--play", faults=rules) as server:
            for token in ("h", "s"):
                found: list[Any] = []
                thread = threading.Thread(
                    target=lambda to, out: out.append(server.send(body(SEEN), to)), args=(token, found)
                )
                began = time.monotonic()
                thread.start()
                server.send(body(SEEN), "free")
                self.assertLess(time.monotonic() - began, 0.5)
                thread.join(5)
                self.assertGreaterEqual(time.monotonic() - began, 0.6)
                self.assertEqual(assemble(found[0][1])[1][-1], "message_stop")
            with self.assertRaises(TimeoutError):
                server.send(body(SEEN), "h", timeout=0.2)

    def test_cut(self) -> None:
        with Server(faults=[{"do": {"cut": True}}]) as server:
            for stream in (True, False):
                with self.assertRaises(http.client.IncompleteRead) as caught:
                    server.send(body("x", stream))
                self.assertTrue(caught.exception.partial)
                self.assertNotIn(b"message_stop", caught.exception.partial)

    def test_garbage(self) -> None:
        with Server(faults=[{"do": {"garbage": True}}]) as server:
            status, raw, _ = server.send(body("x"))
        self.assertEqual(status, 200)
        with self.assertRaises(UnicodeDecodeError):
            raw.decode()

    def test_large(self) -> None:
        with Server(faults=[{"do": {"large": 10_000_000}}]) as server:
            message, _ = assemble(server.send(body("x"))[1])
            self.assertEqual(len(message["content"][0]["text"]), 10_000_000)
            self.assertEqual(server.log()[0]["answered"]["blocks"], [{"text_chars": 10_000_000}])

    def test_rules_that_are_not_understood(self) -> None:
        bad: list[Any] = [
            {"do": {"status": 429}},
            [{"do": {"statsu": 429}}],
            [{"do": {"status": 429, "hang": 1}}],
            [{"do": {"hang": 1e9}}],
            [{"match": {"tokne": "a"}, "do": {"cut": True}}],
            [{"match": {"nth": [0]}, "do": {"cut": True}}],
        ]
        sys.path.insert(0, str(HERE))
        from faults import Faults

        for rules in bad:
            with self.assertRaises(ValueError, msg=str(rules)):
                Faults(rules)

    def test_sigterm_ends_it_at_once(self) -> None:
        with Server(faults=[{"do": {"hang": 60}}]) as server:
            thread = threading.Thread(target=lambda: self.assertRaises(Exception, server.send, body("x")))
            thread.start()
            while not server.log():
                time.sleep(0.01)
            began = time.monotonic()
            server.process.terminate()
            self.assertEqual(server.process.wait(5), 0)
            self.assertLess(time.monotonic() - began, 1)
            thread.join(5)


class LogAndUsage(unittest.TestCase):
    def test_what_the_log_says(self) -> None:
        with Server("--play") as server:
            server.send({**body(SEEN), "tools": TOOLS, "system": "s"}, x_claude_code_session_id="sess")
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
            connection.request("POST", "/v1/messages", json.dumps(body("x")), {"Authorization": "Bearer tok"})
            connection.getresponse().read()
            connection.close()
            first, second = server.log()
        self.assertEqual(
            {
                key: first[key]
                for key in ("path", "model", "stream", "messages", "tools", "token", "token_header", "session", "nth")
            },
            {
                "path": "/v1/messages?beta=true",
                "model": "m",
                "stream": True,
                "messages": 1,
                "tools": [tool["name"] for tool in TOOLS],
                "token": "one",
                "token_header": "x-api-key",
                "session": "sess",
                "nth": 1,
            },
        )
        self.assertEqual(first["answered"]["blocks"], [{"tool": "mcp__world__move", "input": {"dir": "south"}}])
        self.assertEqual((second["token"], second["token_header"]), ("tok", "bearer"))
        self.assertAlmostEqual(first["time"], time.time(), delta=60)

    def test_usage_adds_up_and_reads_what_repeats(self) -> None:
        mark = {"cache_control": {"type": "ephemeral"}}
        one = {"role": "user", "content": [{"type": "text", "text": "a" * 4000, **mark}]}
        unmarked = {"role": "user", "content": [{"type": "text", "text": "a" * 4000}]}
        two = {"role": "user", "content": [{"type": "text", "text": "b" * 400, **mark}]}
        with Server() as server:
            first = server.ask([one])["usage"]
            second = server.ask([unmarked, {"role": "assistant", "content": "ok"}, two])["usage"]
            other = server.ask([one], token="other")["usage"]
            plain = server.ask("hi", token="plain")["usage"]
            sizes = [entry["bytes"] // 4 for entry in server.log()]
        kinds = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
        self.assertEqual([sum(usage[kind] for kind in kinds) for usage in (first, second, other, plain)], sizes)
        self.assertEqual((first["cache_read_input_tokens"], first["input_tokens"]), (0, 1))
        self.assertGreaterEqual(second["cache_read_input_tokens"], 1000)
        self.assertLess(second["cache_creation_input_tokens"], 200)
        self.assertEqual(other, first)
        self.assertEqual(plain["cache_creation_input_tokens"], 0)


if __name__ == "__main__":
    unittest.main()
