"""A player without a mind, for the stand-in's `--play`: from a request of the Messages API to the blocks of an answer.

It reads the newest observation in the conversation (the words that the host makes for a model, whether they came as a
user's text or as a tool's result) and picks one tool: a move towards the nearest apple where there are apples, a walk
about where there are none, the first other tool where nothing can move. Each tenth answer of a conversation also has a
thought and, where a tool for it is offered, a word to the others. What it is asked it answers with the least that the
question's schema wants, in the same breath. It is a function of the request alone: no clock, no
chance, no memory. It must know nothing of HTTP, and of scenarios only the words that observations are made of.
"""

from __future__ import annotations

import re
import zlib
from typing import Any

Json = dict[str, Any]

#: Each so many answers of a conversation the player also thinks and speaks.
SPEAKS_EVERY = 10
STEPS = {"north": (0, -1), "east": (1, 0), "south": (0, 1), "west": (-1, 0)}
#: What a body can enter on a map of letters: empty ground, and apples.
FREE = ".A"

_START = re.compile(r"^Tick (\d+)(?: of \d+)?\. You are ([^\s.]+)", re.MULTILINE)
_ASKED = re.compile(r"^You are asked: .* Answer with the tool (answer_[a-z0-9_-]+)", re.MULTILINE)
_NEAR = re.compile(r"^Near: (.*)$", re.MULTILINE)
_APPLE = re.compile(r"\bapple ((?:\d+ (?:north|east|south|west) ?)+)")
_LEG = re.compile(r"(\d+) (north|east|south|west)")
_MAP = re.compile(r"^Map \([^\n]*\):\n((?:\S+\n?)+)", re.MULTILINE)


def answer(request: Json) -> list[Json]:
    """The content blocks of the answer; tool calls without an id, which the server gives."""
    text = observation(request.get("messages", []))
    tools: list[Json] = [tool for tool in request.get("tools") or [] if tool.get("name")]
    if text is None:
        return [{"type": "text", "text": "I see no world in this, so there is nothing to do."}]
    if not tools:
        return [{"type": "text", "text": "I see a world, but no tool to act with."}]
    blocks: list[Json] = []
    for question in _ASKED.findall(text):
        tool = _tool(tools, question)
        if tool is not None:
            blocks.append(_call(tool["name"], _least(tool.get("input_schema") or {})))
    if not _START.search(text):
        return blocks
    name, arguments, why = choose(text, tools)
    answers = 1 + sum(message.get("role") == "assistant" for message in request["messages"])
    if answers % SPEAKS_EVERY == 0:
        blocks.append({"type": "text", "text": f"Answer {answers}: {why}."})
        speak = _tool(tools, "say")
        if speak is not None:
            blocks.append(_call(speak["name"], {"text": f"{why}, says answer {answers}"}))
    blocks.append(_call(name, arguments))
    return blocks


def observation(messages: list[Json]) -> str | None:
    """The newest text that is an observation or a question among what came since the model last spoke; None if there is none."""
    for message in reversed(messages):
        if message.get("role") == "assistant":
            return None
        for text in reversed(texts(message)):
            if _START.search(text) or _ASKED.search(text):
                return text
    return None


def texts(message: Json) -> list[str]:
    """All texts of a message in order, those within tool results included."""
    content = message.get("content")
    if isinstance(content, str):
        return [content]
    found: list[str] = []
    for block in content or []:
        if block.get("type") == "text":
            found.append(block.get("text", ""))
        elif block.get("type") == "tool_result":
            found.extend(texts({"content": block.get("content")}))
    return found


def choose(text: str, tools: list[Json]) -> tuple[str, Json, str]:
    """Tool, arguments, and why, for an observation."""
    move, wait = _tool(tools, "move"), _tool(tools, "wait")
    if move is None:
        others = [tool for tool in tools if not (_is(tool, "wait") or _is(tool, "say") or "answer_" in tool["name"])]
        tool = others[0] if others else wait or tools[0]
        return tool["name"], _least(tool.get("input_schema") or {}), "this is all I can do"
    if "You are timed out" in text and wait is not None:
        return wait["name"], {}, "I can only wait"
    apple = nearest_apple(text)
    start = _START.search(text)
    assert start is not None, "choose() is asked about observations only"
    if apple is not None:
        east, south = apple
        first = [("east" if east > 0 else "west", abs(east)), ("south" if south > 0 else "north", abs(south))]
        ways = [way for way, far in sorted(first, key=lambda leg: -leg[1]) if far]
        why = f"the nearest apple is {abs(east) + abs(south)} steps away"
    else:
        # A walk about: one way for four ticks, then another, drawn from the seat's name.
        ways = [list(STEPS)[zlib.crc32(f"{start[2]} {int(start[1]) // 4}".encode()) % 4]]
        why = "I see no apple and walk about"
    ways += [way for way in STEPS if way not in ways]
    free = [way for way in ways if enters(text, way)]
    if free:
        return move["name"], {"dir": free[0]}, why
    if wait is not None:
        return wait["name"], {}, "I am shut in"
    return move["name"], {"dir": ways[0]}, "I am shut in and push"


def nearest_apple(text: str) -> tuple[int, int] | None:
    """How far to the east and to the south the nearest apple named in `Near:` is; the first of equals."""
    near = _NEAR.search(text)
    found: list[tuple[int, int]] = []
    for apple in _APPLE.findall(near[1]) if near else []:
        east = south = 0
        for far, way in _LEG.findall(apple):
            east += STEPS[way][0] * int(far)
            south += STEPS[way][1] * int(far)
        found.append((east, south))
    return min(found, key=lambda at: abs(at[0]) + abs(at[1]), default=None)


def enters(text: str, way: str) -> bool:
    """Whether the map in the observation shows a cell to enter that way; true where there is no map."""
    drawn = _MAP.search(text)
    rows = drawn[1].split() if drawn else []
    at = next(((x, y) for y, row in enumerate(rows) for x, cell in enumerate(row) if cell == "@"), None)
    if at is None:
        return True
    x, y = at[0] + STEPS[way][0], at[1] + STEPS[way][1]
    return 0 <= y < len(rows) and 0 <= x < len(rows[y]) and rows[y][x] in FREE


def _is(tool: Json, word: str) -> bool:
    return bool(re.search(rf"(^|[^a-zA-Z0-9]){word}$", tool["name"]))


def _tool(tools: list[Json], word: str) -> Json | None:
    """The tool of that name, with whatever prefix (`move`, `mcp__world__move`)."""
    return next((tool for tool in tools if _is(tool, word)), None)


def _least(schema: Json) -> Json:
    """The least arguments that a JSON Schema of an object asks for."""
    properties: Json = schema.get("properties") or {}
    return {name: _value(properties.get(name) or {}) for name in schema.get("required") or []}


def _value(schema: Json) -> Any:
    if schema.get("enum"):
        return schema["enum"][0]
    least = schema.get("minimum", 0)
    values: Json = {"string": "hm", "integer": least, "number": least, "boolean": False, "array": []}
    return values.get(str(schema.get("type")), {})


def _call(name: str, arguments: Json) -> Json:
    return {"type": "tool_use", "name": name, "input": arguments}
