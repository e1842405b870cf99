"""A stand-in for the Anthropic Messages API, for tests: `python3 standin.py --port 0 [--play] [--faults F] [--log F [--bodies]]`.

Its first line on standard output is `listening on http://127.0.0.1:PORT`. It serves loopback only, needs nothing but
Python 3.11, keeps nothing on disk but its log, and ends at once on SIGTERM. README.md beside it describes the modes,
the rules of faults, the fields of the log and how usage is counted. This file is the server; what it answers is decided
in `script.py` (a script within the user's text) and `play.py` (a player of observations), how it fails in `faults.py`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO, Any

import play
import script
from faults import ERRORS, MAX_SLEEP_S, Faults
from usage import Usage

Json = dict[str, Any]

#: How much of a text one event of a stream carries.
DELTA_CHARS = 65536
#: What `garbage` answers: not an event stream, not UTF-8, not JSON.
GARBAGE = b"\x00\xff\xfe{not an event stream\r\n" + bytes(range(256)) + b'\n\ndata: {"type":\n\n'


class Standin(ThreadingHTTPServer):
    """The server and what it knows between requests: counts by token, which scripted errors are used up, its log."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self,
        port: int,
        plays: bool = False,
        faults: Faults | None = None,
        log: IO[str] | None = None,
        bodies: bool = False,
    ):
        super().__init__(("127.0.0.1", port), Handler)
        self.plays = plays
        self.faults = faults or Faults([])
        self.usage = Usage()
        self.scripted = script.Errors()
        self.lock = threading.Lock()
        self.requests_by_token: dict[str, int] = {}
        self._log = log
        self.bodies = bodies

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def count(self, token: str) -> int:
        """The number of this request among those of its token, from 1."""
        with self.lock:
            self.requests_by_token[token] = self.requests_by_token.get(token, 0) + 1
            return self.requests_by_token[token]

    def log(self, entry: Json) -> None:
        if self._log is not None:
            with self.lock:
                self._log.write(json.dumps(entry, separators=(",", ":")) + "\n")
                self._log.flush()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no fault of ours; everything else is told as usual."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """One connection: reads requests, logs each with what it is answered, answers."""

    server: Standin
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """The log of requests is our own."""

    def do_HEAD(self) -> None:
        self._log({}, 0, {"status": 200})
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        self._log({}, 0, {"status": 404})
        self._error(404, "not_found_error")

    def do_POST(self) -> None:
        raw = self._body()
        path = self.path.split("?")[0]
        try:
            body = json.loads(raw)
        except ValueError:
            body = None
        if path not in ("/v1/messages", "/v1/messages/count_tokens"):
            self._log({}, len(raw), {"status": 404})
            return self._error(404, "not_found_error")
        if not isinstance(body, dict) or not isinstance(body.get("messages"), list):
            self._log({}, len(raw), {"status": 400})
            return self._error(400, "invalid_request_error")
        if path == "/v1/messages/count_tokens":
            self._log(body, len(raw), {"status": 200})
            return self._send_json(200, {"input_tokens": max(1, len(raw) // 4)})
        self._message(raw, body)

    def _body(self) -> bytes:
        """The request's body; a proxy in between may have made chunks of it."""
        if "chunked" not in self.headers.get("transfer-encoding", ""):
            return self.rfile.read(int(self.headers.get("content-length") or 0))
        whole = b""
        while size := int(self.rfile.readline().split(b";")[0] or b"0", 16):
            whole += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return whole

    def _message(self, raw: bytes, body: Json) -> None:
        """`POST /v1/messages`: picks an answer, then a fault that may replace or disturb it."""
        token = self._credential()[1]
        nth = self.server.count(token)
        fault = self.server.faults.pick(token, self._session(), nth)
        if fault is None:
            fault, blocks = self.server.scripted.step(body) or ({}, None)
            if blocks is None and not fault:
                blocks = play.answer(body) if self.server.plays else [{"type": "text", "text": "ok (no script)"}]
        elif "large" in fault:
            blocks = [{"type": "text", "text": "x" * int(fault["large"])}]
        elif "answer" in fault:
            blocks = script.blocks(fault["answer"])
        else:
            blocks = play.answer(body) if self.server.plays else [{"type": "text", "text": "ok (no script)"}]
        if "status" in fault:
            self._log(body, len(raw), {"status": fault["status"], "fault": fault}, nth)
            retry = fault.get("retry_after")
            return self._error(int(fault["status"]), None, {} if retry is None else {"retry-after": str(retry)})
        message = self._dress(raw, body, blocks or [], token)
        brief = [_brief(block) for block in message["content"]]
        answered: Json = {"status": 200, "blocks": brief, "usage": message["usage"]}
        self._log(body, len(raw), {**answered, "fault": fault} if fault else answered, nth)
        try:
            self._send_message(message, bool(body.get("stream")), fault)
        except ConnectionError:
            self.server.log({"time": round(time.time(), 3), "note": "the client went away", "token": token, "nth": nth})
            self.close_connection = True

    def _dress(self, raw: bytes, body: Json, blocks: list[Json], token: str) -> Json:
        """A whole message of the API around the blocks. Its ids are made from the request, so they repeat with it."""
        digest = hashlib.sha256(raw).hexdigest()[:16]
        content = [
            {**block, "id": f"toolu_{digest}{index:02}"} if block["type"] == "tool_use" else block
            for index, block in enumerate(blocks)
        ]
        calls = any(block["type"] == "tool_use" for block in content)
        return {
            "id": f"msg_{digest}",
            "type": "message",
            "role": "assistant",
            "model": body.get("model", ""),
            "content": content,
            "stop_reason": "tool_use" if calls else "end_turn",
            "stop_sequence": None,
            "usage": self.server.usage.count(self._session() or token, raw, body, content),
        }

    def _send_message(self, message: Json, stream: bool, fault: Json) -> None:
        if "hang" in fault:
            _sleep(fault["hang"])
        if "garbage" in fault:
            self._head("text/event-stream" if stream else "application/json", {"content-length": str(len(GARBAGE))})
            self.wfile.write(GARBAGE)
        elif stream:
            self._head("text/event-stream", {"transfer-encoding": "chunked"})
            self._stream(message, fault)
            if "cut" not in fault:
                self.wfile.write(b"0\r\n\r\n")
        else:
            if "stall" in fault:
                _sleep(fault["stall"])
            whole = json.dumps(message).encode()
            self._head("application/json", {"content-length": str(len(whole))})
            self.wfile.write(whole[: len(whole) // 2] if "cut" in fault else whole)
        # What was cut lacks its end, and the end of the connection is all that comes.
        self.close_connection = self.close_connection or "cut" in fault

    def _stream(self, message: Json, fault: Json) -> None:
        """The message as server-sent events."""
        usage = message["usage"]
        start = {**message, "content": [], "stop_reason": None, "usage": {**usage, "output_tokens": 1}}
        self._event("message_start", message=start)
        if "stall" in fault:
            _sleep(fault["stall"])
        for index, block in enumerate(message["content"]):
            if block["type"] == "text":
                self._event("content_block_start", index=index, content_block={"type": "text", "text": ""})
                if "cut" in fault:
                    return
                for at in range(0, len(block["text"]), DELTA_CHARS):
                    delta = {"type": "text_delta", "text": block["text"][at : at + DELTA_CHARS]}
                    self._event("content_block_delta", index=index, delta=delta)
            else:
                self._event("content_block_start", index=index, content_block={**block, "input": {}})
                if "cut" in fault:
                    return
                delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
                self._event("content_block_delta", index=index, delta=delta)
            self._event("content_block_stop", index=index)
        delta = {"stop_reason": message["stop_reason"], "stop_sequence": None}
        self._event("message_delta", delta=delta, usage={"output_tokens": usage["output_tokens"]})
        self._event("message_stop")

    def _event(self, kind: str, **fields: Any) -> None:
        """One event, as one chunk."""
        event = f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))
        self.wfile.flush()

    def _head(self, content_type: str, headers: dict[str, str]) -> None:
        self.send_response(200)
        for name, text in {"content-type": content_type, **headers}.items():
            self.send_header(name, text)
        self.end_headers()

    def _error(self, status: int, kind: str | None, headers: dict[str, str] | None = None) -> None:
        error = {"type": kind or ERRORS.get(status, "api_error"), "message": f"the stand-in answers {status}"}
        self._send_json(status, {"type": "error", "error": error}, headers)

    def _send_json(self, status: int, value: Json, headers: dict[str, str] | None = None) -> None:
        whole = json.dumps(value).encode()
        self.send_response(status)
        fixed = {"content-type": "application/json", "content-length": str(len(whole))}
        for name, text in {**fixed, **(headers or {})}.items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(whole)

    def _credential(self) -> tuple[str | None, str]:
        """Which header carried the credential, and its value; (None, "") without one."""
        key = self.headers.get("x-api-key")
        if key is not None:
            return "x-api-key", key
        bearer = self.headers.get("authorization", "")
        return ("bearer", bearer[7:].strip()) if bearer.lower().startswith("bearer ") else (None, "")

    def _session(self) -> str | None:
        return self.headers.get("x-claude-code-session-id")

    def _log(self, body: Json, size: int, answered: Json, nth: int | None = None) -> None:
        kind, token = self._credential()
        self.server.log(
            {
                "time": round(time.time(), 3),
                "method": self.command,
                "path": self.path,
                "model": body.get("model"),
                "stream": bool(body.get("stream")),
                "messages": len(body.get("messages") or []),
                "bytes": size,
                "tools": [tool.get("name") for tool in body.get("tools") or []],
                "system_bytes": len(json.dumps(body["system"])) if "system" in body else 0,
                "token": token,
                "token_header": kind,
                "session": self._session(),
                "nth": nth,
                "answered": answered,
                **({"conversation": body.get("messages")} if self.server.bodies else {}),
            }
        )


def _sleep(seconds: Any) -> None:
    """Every wait has an end, and a server that ends does not wait for it: the threads of connections are daemons."""
    time.sleep(min(float(seconds), MAX_SLEEP_S))


def _brief(block: Json) -> Json:
    """A block for the log: a long text by its length."""
    if block["type"] == "text":
        return {"text": block["text"]} if len(block["text"]) <= 200 else {"text_chars": len(block["text"])}
    return {"tool": block["name"], "input": block["input"]}


def main() -> None:
    parser = argparse.ArgumentParser(description="A stand-in for the Anthropic Messages API, on loopback, for tests.")
    parser.add_argument("--port", type=int, default=0, help="0, the default, takes a free one; it is printed")
    parser.add_argument("--play", action="store_true", help="play a seat from the newest observation in a conversation")
    parser.add_argument("--faults", type=Path, help="a JSON list of rules of faults")
    parser.add_argument("--log", type=Path, help="where each request is written, a JSON object a line")
    parser.add_argument("--bodies", action="store_true", help="the log has the conversations too")
    given = parser.parse_args()
    try:
        faults = Faults(json.loads(given.faults.read_text())) if given.faults else None
    except (OSError, ValueError) as error:
        parser.error(f"--faults: {error}")

    def end(signum: int, frame: Any) -> None:
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    log = given.log.open("a", encoding="utf-8") if given.log else None
    server = Standin(given.port, given.play, faults, log, given.bodies)
    print(f"listening on {server.url}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
