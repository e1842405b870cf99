"""Answers that a test writes into the user's text: `SCRIPT:[step,step,...]END`, for the stand-in.

A step is one of

    {"text": ".."}                                      a text
    {"tool": "NAME", "input": {..}}                     a call; a "text" beside it comes first
    {"tools": [{"tool": .., "input": ..}, ..]}          several calls; likewise
    {"status": 529, "times": 2, "retry_after": 1, "then": STEP}   that error so many times, then the other step
    {"hang": SECONDS}                                   nothing for so long, then a text; "then" gives another step
    {"stall": SECONDS}                                  the same within a stream, after its first event

The newest user message that holds a script counts; the step's index is the number of assistant messages after it. So a
script needs no memory here, but for the errors that are used up.
"""

from __future__ import annotations

import json
import re
import threading
from typing import Any

Json = dict[str, Any]

_SCRIPT = re.compile(r"SCRIPT:(\[.*?\])END", re.DOTALL)


class Errors:
    """Picks steps, and counts the errors that were given out: by script and index."""

    def __init__(self) -> None:
        self._given: dict[tuple[str, int], int] = {}
        self._lock = threading.Lock()

    def step(self, request: Json) -> tuple[Json, list[Json] | None] | None:
        """A fault (maybe empty) and the blocks to answer with; None if the conversation holds no script."""
        found = _find(request.get("messages", []))
        if found is None:
            return None
        text, index = found
        try:
            steps = json.loads(text)
        except ValueError as error:
            return {}, [{"type": "text", "text": f"the script is not JSON: {error}"}]
        step: Json = steps[index] if index < len(steps) else {"text": "script over"}
        if "status" in step:
            with self._lock:
                given = self._given[text, index] = self._given.get((text, index), 0) + 1
            if given <= step.get("times", 1):
                return {key: step[key] for key in ("status", "retry_after") if key in step}, None
            step = step.get("then", {"text": "after errors"})
        fault: Json = {key: step[key] for key in ("hang", "stall") if key in step}
        if fault and not set(step) & {"text", "tool", "tools"}:
            step = step.get("then", {"text": f"after {next(iter(fault))}"})
        return fault, blocks(step)


def _find(messages: list[Json]) -> tuple[str, int] | None:
    """The newest script, and how many assistant messages stand after it."""
    for at in range(len(messages) - 1, -1, -1):
        if messages[at].get("role") != "user":
            continue
        content = messages[at].get("content")
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content or []
        for block in reversed(parts):
            hit = _SCRIPT.search(block.get("text", "")) if block.get("type") == "text" else None
            if hit:
                return hit[1], sum(message.get("role") == "assistant" for message in messages[at + 1 :])
    return None


def blocks(step: Json) -> list[Json]:
    """The blocks of a step with a text, a call or calls."""
    calls = step.get("tools") or ([step] if "tool" in step else [])
    texts: list[Json] = [{"type": "text", "text": step["text"]}] if step.get("text") else []
    return texts + [{"type": "tool_use", "name": call["tool"], "input": call.get("input", {})} for call in calls]
