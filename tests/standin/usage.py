"""How the stand-in counts tokens: simply, and so that a test can do the sum.

A request is `bytes // 4` tokens, at least 1. Of these, `cache_read_input_tokens` are those of what repeats the previous
request of the same session (or, without one, of the same credential): its leading messages that are equal to the ones then, markers of caching left
out of account, and the system prompt and tools if they are equal too; as compact JSON, `bytes // 4`. Of the rest one is
`input_tokens` and the others `cache_creation_input_tokens` if the request marks anything for caching; else all are
`input_tokens`. The three add up to the request. An answer costs one token for each 4 bytes of its blocks, at least 1.
"""

from __future__ import annotations

import json
import threading
from typing import Any

Json = dict[str, Any]


class Usage:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._before: dict[str, list[str]] = {}

    def count(self, who: str, raw: bytes, body: Json, content: list[Json]) -> Json:
        head = _compact([body.get("system"), body.get("tools")])
        parts = [head] + [_compact(message) for message in body.get("messages", [])]
        with self._lock:
            before = self._before.get(who, [])
            self._before[who] = parts
        same = 0
        for old, new in zip(before, parts):
            if old != new:
                break
            same += len(new.encode())
        total = max(1, len(raw) // 4)
        read = min(same // 4, total - 1)
        rest = total - read
        created = rest - 1 if b'"cache_control"' in raw else 0
        return {
            "input_tokens": rest - created,
            "cache_creation_input_tokens": created,
            "cache_read_input_tokens": read,
            "output_tokens": max(1, len(_compact(content).encode()) // 4),
        }


def _compact(value: Any) -> str:
    return json.dumps(_unmarked(value), separators=(",", ":"), ensure_ascii=False)


def _unmarked(value: Any) -> Any:
    """The value without markers of caching: clients move them from message to message."""
    if isinstance(value, dict):
        return {key: _unmarked(each) for key, each in value.items() if key != "cache_control"}
    return [_unmarked(each) for each in value] if isinstance(value, list) else value
