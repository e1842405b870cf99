"""Rules by which the stand-in fails, or answers otherwise: which request a rule meets, and what it does.

A rule is `{"match": {"token": .., "session": .., "nth": [3, 4]}, "do": {..}}`; each part of `match` may be left out,
and the first rule that matches counts. A rule that is not understood is refused when the server starts, so that a test
never passes because its fault was misspelled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

#: The longest wait that a fault or a script can ask for.
MAX_SLEEP_S = 600.0
#: The largest answer that can be asked for.
MAX_LARGE = 256 * 1024 * 1024
#: The type of error that goes with a status.
ERRORS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    529: "overloaded_error",
}


@dataclass(frozen=True)
class Rule:
    token: str | None
    session: str | None
    #: Which requests of a token, counted from 1; None means all.
    nth: frozenset[int] | None
    do: Json


class Faults:
    def __init__(self, rules: Any) -> None:
        if not isinstance(rules, list):
            raise ValueError("expected a list of rules")
        self._rules = [_rule(at, rule) for at, rule in enumerate(rules)]

    def pick(self, token: str, session: str | None, nth: int) -> Json | None:
        """What is to go wrong with this request."""
        for rule in self._rules:
            if rule.token not in (None, token) or rule.session not in (None, session):
                continue
            if rule.nth is None or nth in rule.nth:
                return rule.do
        return None


def _rule(at: int, rule: Any) -> Rule:
    if not isinstance(rule, dict) or not set(rule) <= {"match", "do"} or not isinstance(rule.get("do"), dict):
        raise ValueError(f'rule {at}: expected {{"match": {{..}}, "do": {{..}}}}')
    match, do = rule.get("match", {}), rule["do"]
    if not isinstance(match, dict) or not set(match) <= {"token", "session", "nth"}:
        raise ValueError(f"rule {at}: match takes token, session and nth")
    nth = match.get("nth")
    nth = [nth] if isinstance(nth, int) else nth
    if nth is not None and not (isinstance(nth, list) and all(isinstance(each, int) and each > 0 for each in nth)):
        raise ValueError(f"rule {at}: nth is a number from 1, or a list of such")
    kinds = set(do) - {"retry_after"}
    if len(kinds) != 1 or not kinds <= {"status", "hang", "stall", "cut", "garbage", "large", "answer"}:
        raise ValueError(f"rule {at}: do is one of status (with retry_after), hang, stall, cut, garbage, large, answer")
    kind = kinds.pop()
    value, limit = do[kind], {"hang": MAX_SLEEP_S, "stall": MAX_SLEEP_S, "large": MAX_LARGE, "status": 599}.get(kind)
    if kind == "answer":
        good = isinstance(value, dict) and bool(value) and set(value) <= {"text", "tool", "input", "tools"}
    elif limit is None:
        good = value is True
    else:
        good = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= limit
    if not good or (kind == "status" and value < 400):
        raise ValueError(f"rule {at}: {kind} cannot be {value!r}")
    return Rule(match.get("token"), match.get("session"), None if nth is None else frozenset(nth), do)
