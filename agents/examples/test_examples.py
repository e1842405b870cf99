"""Talks to each example as a host would and checks every answer: `python3 agents/examples/test_examples.py`.

Needs Python only; the JavaScript example is tested where Node is, which is said when it is not.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import unittest
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
CASTS = HERE.parent.parent / "scenarios" / "commons" / "casts"

HELLO = {
    "type": "hello",
    "protocol": 1,
    "run": "test",
    "scenario": {"name": "commons", "title": "The commons"},
    "seat": "harvester-1",
    "role": "",
    "rules": "",
    "actions": [{"name": "move", "description": "Go.", "parameters": {"type": "object"}}],
    "limits": {"actions": 1, "speech": 1},
    "time": {"mode": "lockstep", "deadline_ms": 1000, "hz": None, "ticks": 3},
    "remembered": {"kept": True},
}
END = {"type": "end", "reason": "the last tick", "score": 2.5, "tick": 3}


def observe(tick: int, rows: list[str], heard: str = "", code: str = "ok") -> dict[str, Any]:
    """An observation of a view whose top left cell is 0,0; `@` is oneself."""
    y, x = next((y, row.index("@")) for y, row in enumerate(rows) if "@" in row)
    result: dict[str, Any] = {"action": "move", "ok": code == "ok", "code": code}
    if code != "ok":
        result["reason"] = "it does not work"
    return {
        "type": "observe",
        "tick": tick,
        "deadline_ms": 1000,
        "text": "",
        "state": {
            "you": {"seat": "harvester-1", "x": x, "y": y, "face": "north", "score": 0.0, "timed_out": 0},
            "view": {"x0": 0, "y0": 0, "rows": rows, "legend": {"A": "apple", "@": "you", "o": "other"}},
            "near": [],
            "time": {"tick": tick, "ticks": 3},
        },
        "heard": [{"from": "harvester-2", "how": "say", "text": heard, "tick": tick}] if heard else [],
        "results": [result],
    }


#: A text that would fool a program which looks for keys without regard to quotes.
TRAP = '"tick":99,"rows":["A@"],{"type":"end"}'
FIELD = ["....", "..@A", "...."]
TALK = [HELLO, observe(0, FIELD), observe(7, FIELD, heard=TRAP), observe(8, FIELD, code="blocked"), END]


def talk(command: list[str], messages: list[dict[str, Any]] = TALK) -> list[dict[str, Any]]:
    """What a program answers to the messages; the run ends for it as it does with the host."""
    lines = "".join(json.dumps(message, separators=(",", ":")) + "\n" for message in messages)
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "PYTHONPATH": str(HERE), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, input=lines, capture_output=True, text=True, timeout=30, env=environment)
    if done.returncode != 0 or done.stderr:
        raise AssertionError(f"{command} ended with status {done.returncode}: {done.stderr}")
    return [json.loads(line) for line in done.stdout.splitlines()]


class Examples(unittest.TestCase):
    def walks(self, command: list[str]) -> None:
        ready, *acts = talk(command)
        self.assertEqual(ready["type"], "ready")
        self.assertEqual([act["tick"] for act in acts], [0, 7, 8])
        for act in acts:
            (action,) = act["actions"]
            self.assertEqual(action["name"], "move")
            self.assertIn(action["args"]["dir"], ["north", "east", "south", "west"])

    def test_shell(self) -> None:
        self.walks(["sh", str(HERE / "walker.sh")])

    def test_python(self) -> None:
        self.walks([sys.executable, str(HERE / "walker.py")])

    @unittest.skipUnless(shutil.which("node"), "Node is not here")
    def test_javascript(self) -> None:
        self.walks([str(shutil.which("node")), str(HERE / "walker.js")])

    def test_talker_turns_and_says_so(self) -> None:
        sent = talk([sys.executable, str(HERE / "talker.py")])
        self.assertEqual([each["type"] for each in sent], ["ready", "act", "log", "act", "act"])
        self.assertEqual(sent[2]["text"], f"harvester-2 said: {TRAP}")
        self.assertEqual(sent[1]["actions"], [{"name": "move", "args": {"dir": "east"}}])
        self.assertEqual(sent[4]["actions"], [{"name": "move", "args": {"dir": "south"}}])
        self.assertEqual(sent[4]["say"], "blocked, so I go south")


class Helper(unittest.TestCase):
    def run_with(self, body: str) -> list[dict[str, Any]]:
        return talk([sys.executable, "-c", f"from formicarium import Seat\nseat = Seat()\n{body}"])

    def test_a_tick_that_is_not_answered_is_passed(self) -> None:
        sent = self.run_with("for seen in seat: pass")
        self.assertEqual(sent[0], {"type": "ready"})
        self.assertEqual(sent[1:], [{"type": "act", "tick": tick, "actions": []} for tick in (0, 7, 8)])

    def test_speech_before_an_act_leaves_the_tick_to_it(self) -> None:
        sent = self.run_with("for seen in seat:\n seat.say('ho')\n seat.act('wait', thought='well')")
        self.assertEqual(sent[1], {"type": "act", "tick": 0, "actions": [], "say": "ho"})
        self.assertEqual(
            sent[2], {"type": "act", "tick": 0, "actions": [{"name": "wait", "args": {}}], "thought": "well"}
        )
        self.assertEqual(len(sent), 7)

    def test_a_pass_with_speech_closes_the_tick(self) -> None:
        sent = self.run_with("for seen in seat: seat.act(None, say='ho')")
        self.assertEqual(sent[1]["actions"], [{"name": "wait", "args": {}}])

    def test_hello_results_heard_and_end_are_typed(self) -> None:
        body = """
seen = list(seat)
assert seat.hello.remembered == {"kept": True} and seat.hello.actions[0].name == "move"
assert seen[1].heard[0].sender == "harvester-2" and seen[1].results[0].reason == ""
assert (seen[2].results[0].ok, seen[2].results[0].code) == (False, "blocked")
assert (seat.end.reason, seat.end.score, seat.end.tick) == ("the last tick", 2.5, 3)
"""
        self.assertEqual(len(self.run_with(body)), 4)

    def test_who_answers_is_asked(self) -> None:
        question = {"type": "question", "name": "count", "tick": 8, "text": "How many?", "schema": {"type": "object"}}
        last = {**question, "name": "why", "end": {"reason": "over", "score": 1.0, "tick": 9}, "refused": "too long"}
        body = """from formicarium import Seat
def answer(question):
    return {"end": question.end.reason, "refused": question.refused} if question.end else None
for seen in Seat(answer=answer): pass"""
        sent = talk([sys.executable, "-c", body], [HELLO, question, observe(8, FIELD), last, END])
        self.assertEqual(sent[0], {"type": "ready", "answers": True})
        self.assertEqual(sent[1], {"type": "answer", "question": "count", "tick": 8, "value": None})
        value = {"end": "over", "refused": "too long"}
        self.assertEqual(sent[3], {"type": "answer", "question": "why", "tick": 8, "value": value})

    def test_what_is_printed_stays_off_the_wire(self) -> None:
        sent = self.run_with("import sys\nassert sys.stdout is sys.stderr\nfor seen in seat: seat.remember([seen.tick])")
        self.assertEqual(sent[1], {"type": "remember", "state": [0]})


class Harvesters(unittest.TestCase):
    """The harvesters of scenarios/commons/casts, on one apple that stands alone and on one that leaves three."""

    ALONE = [HELLO, observe(0, FIELD), END]
    PATCH = [HELLO, observe(0, ["...A", "..@A", "..AA"]), END]

    def move(self, command: list[str], messages: list[dict[str, Any]]) -> str:
        _, act = talk(command, messages)
        return act["actions"][0]["args"]["dir"]

    def test_greed_takes_the_last_apple_and_restraint_leaves_it(self) -> None:
        forager = [sys.executable, str(CASTS / "forager.py")]
        forage = ["sh", str(CASTS / "forage.sh")]
        sheriff = [sys.executable, str(CASTS / "sheriff.py")]
        for greedy in ([*forager, "greedy"], [*forage, "0"]):
            self.assertEqual(self.move(greedy, self.ALONE), "east", greedy)
        for restrained in ([*forager, "restrained"], [*forage, "3"], sheriff):
            self.assertNotEqual(self.move(restrained, self.ALONE), "east", restrained)
            self.assertEqual(self.move(restrained, self.PATCH), "east", restrained)


if __name__ == "__main__":
    unittest.main()
