"""An agent of Formicarium in Python: one file, no dependencies. Copy it beside your agent.

    from formicarium import Seat

    seat = Seat(name="my agent")
    for seen in seat:                       # one observation a tick, until the run ends
        seat.act("move", dir="north", say="going north")

It speaks agent protocol 1 (docs/agent-protocol.md): JSON Lines on standard input and output. It knows the messages and
nothing of any scenario. Standard output belongs to the protocol, so a stray `print` would be garbage on the wire: this
module sends what is printed to standard error, which the host keeps in a file of the seat. Python 3.9 or newer.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from typing import Any, Callable, Iterator, Optional

__all__ = ["Action", "ActionResult", "End", "Heard", "Hello", "ProtocolError", "Question", "Seat", "Seen"]

PROTOCOL = 1


class ProtocolError(Exception):
    """The host said something that protocol 1 does not know, or not in its order."""


@dataclass(frozen=True)
class Action:
    """An action that this seat may ask for."""

    name: str
    description: str
    #: JSON Schema of the arguments, an object.
    parameters: dict[str, Any]


@dataclass(frozen=True)
class Hello:
    """The first message: who one is, and what the world is."""

    run: str
    #: `{"name": .., "title": ..}`
    scenario: dict[str, str]
    seat: str
    role: str
    #: The rules of the world in words.
    rules: str
    actions: list[Action]
    #: How much may be sent: actions, speech (a tick); speech_chars, thought_chars, log_chars; remember_bytes; line_bytes.
    limits: dict[str, int]
    #: mode ("lockstep", "realtime", "async", "turns"), deadline_ms, hz (None where ticks wait), ticks (0: no end).
    time: dict[str, Any]
    #: What this seat asked the host to remember before a restart; None at the first start.
    remembered: Any = None


@dataclass(frozen=True)
class Heard:
    """Something another seat said: how is "say", "whisper" or "broadcast"."""

    sender: str
    how: str
    text: str
    tick: int


@dataclass(frozen=True)
class ActionResult:
    """What became of an action of one's own. `code` is "ok" when it was done; `reason` is empty then."""

    action: Optional[str]
    ok: bool
    code: str
    reason: str = ""


@dataclass(frozen=True)
class Seen:
    """What is shown to this seat in a tick."""

    tick: int
    #: How long the host waits for the answer, in milliseconds.
    deadline_ms: int
    #: The observation in words, ready for a language model.
    text: str
    #: The same as a structure; its fields are the scenario's (docs/scenario-format.md).
    state: dict[str, Any]
    heard: list[Heard] = field(default_factory=list)
    results: list[ActionResult] = field(default_factory=list)


@dataclass(frozen=True)
class End:
    """The last message: why the run ended, and the seat's score."""

    reason: str
    score: float
    tick: int


@dataclass(frozen=True)
class Question:
    """Something the scenario wants to know. It costs no action."""

    name: str
    tick: int
    text: str
    #: JSON Schema of the answer, an object.
    schema: dict[str, Any]
    #: What the seat came to, if the run is over; None while it goes on.
    end: Optional[End] = None
    #: Why the last answer was refused, if this is the question again.
    refused: Optional[str] = None


class Seat:
    """One's place in the world. Making it reads `hello` and answers `ready`; iterating it gives observations.

    `hello` is known from then on, `end` is None until the run is over. A tick that is not answered in the body of the
    loop is passed when the loop comes round, so that the world does not wait for nothing.

    `answer` is called with each question of the scenario and returns the answer, or None for no answer to this one.
    Without it the seat is never asked.
    """

    def __init__(
        self, name: Optional[str] = None, answer: Optional[Callable[[Question], Optional[dict[str, Any]]]] = None
    ) -> None:
        self._input = sys.stdin.buffer
        self._output = sys.stdout.buffer
        sys.stdout = sys.stderr
        self.end: Optional[End] = None
        self._answer = answer
        self._tick: Optional[int] = None
        self._answered = True
        message = self._read()
        if message is None:
            raise SystemExit(0)
        if message["type"] != "hello":
            raise ProtocolError(f"expected hello, got {message['type']}")
        if message["protocol"] != PROTOCOL:
            raise ProtocolError(f"the host speaks protocol {message['protocol']}, this helper speaks {PROTOCOL}")
        self.hello = Hello(
            run=message["run"],
            scenario=message["scenario"],
            seat=message["seat"],
            role=message["role"],
            rules=message["rules"],
            actions=[Action(each["name"], each["description"], each["parameters"]) for each in message["actions"]],
            limits=message["limits"],
            time=message["time"],
            remembered=message.get("remembered"),
        )
        ready: dict[str, Any] = {"type": "ready"}
        if answer is not None:
            ready["answers"] = True
        if name is not None:
            ready["name"] = name
        self._write(ready)

    def __iter__(self) -> Iterator[Seen]:
        while True:
            if not self._answered:
                self.act(None)
            message = self._read()
            if message is None:
                return
            if message["type"] == "end":
                self.end = End(message["reason"], message["score"], message["tick"])
                return
            if message["type"] == "question":
                self._ask(message)
                continue
            if message["type"] != "observe":
                raise ProtocolError(f"expected observe, question or end, got {message['type']}")
            self._tick = message["tick"]
            self._answered = False
            yield Seen(
                tick=message["tick"],
                deadline_ms=message["deadline_ms"],
                text=message["text"],
                state=message["state"],
                heard=[Heard(each["from"], each["how"], each["text"], each["tick"]) for each in message["heard"]],
                results=[
                    ActionResult(each.get("action"), each["ok"], each["code"], each.get("reason", ""))
                    for each in message["results"]
                ],
            )

    def act(
        self, action: Optional[str], /, *, say: Optional[str] = None, thought: Optional[str] = None, **args: Any
    ) -> None:
        """Answers the tick with one action, `seat.act("move", dir="north")`, or passes it with `seat.act(None)`.

        `say` is heard by others within the scenario's radius; `thought` is seen by spectators only.
        """
        self.act_all([] if action is None else [{"name": action, "args": args}], say=say, thought=thought)

    def act_all(
        self, actions: list[dict[str, Any]], *, say: Optional[str] = None, thought: Optional[str] = None
    ) -> None:
        """Answers the tick with several actions, `[{"name": "turn", "args": {"dir": "east"}}, ..]`, done in order.

        How many are allowed stands in `hello.limits["actions"]`.
        """
        if self._tick is None:
            raise ProtocolError("nothing to act on yet: iterate the seat, and act in the body of the loop")
        if not actions and say is not None:
            # Speech alone would leave the tick open; wait closes it.
            actions = [{"name": "wait", "args": {}}]
        message: dict[str, Any] = {"type": "act", "tick": self._tick, "actions": actions}
        if say is not None:
            message["say"] = say
        if thought is not None:
            message["thought"] = thought
        self._answered = True
        self._write(message)

    def say(self, text: str) -> None:
        """Speaks without using up the tick; an `act` may still follow."""
        if self._tick is None:
            raise ProtocolError("nothing to speak of yet: iterate the seat, and speak in the body of the loop")
        self._write({"type": "act", "tick": self._tick, "actions": [], "say": text})

    def remember(self, state: Any) -> None:
        """Has the host keep a small state (any JSON, at most `hello.limits["remember_bytes"]` bytes) for a restart."""
        self._write({"type": "remember", "state": state})

    def log(self, text: str) -> None:
        """Puts a line into the run's recording."""
        self._write({"type": "log", "text": text})

    def _ask(self, message: dict[str, Any]) -> None:
        end = message.get("end")
        question = Question(
            message["name"],
            message["tick"],
            message["text"],
            message["schema"],
            None if end is None else End(end["reason"], end["score"], end["tick"]),
            message.get("refused"),
        )
        value = None if self._answer is None else self._answer(question)
        self._write({"type": "answer", "question": question.name, "tick": question.tick, "value": value})

    def _read(self) -> Optional[dict[str, Any]]:
        line = self._input.readline()
        return json.loads(line) if line else None

    def _write(self, message: dict[str, Any]) -> None:
        # allow_nan: NaN is not JSON; better an exception here than garbage at the host.
        line = json.dumps(message, separators=(",", ":"), allow_nan=False)
        try:
            self._output.write(line.encode() + b"\n")
            self._output.flush()
        except BrokenPipeError:
            raise SystemExit(0) from None
