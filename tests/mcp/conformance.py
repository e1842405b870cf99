"""The official conformance suite against a seat of a live run: conformance.py DIR, where tests/mcp/install.sh has put it.

The suite cannot send a token, so a loopback proxy adds it; nothing else is changed on the way. Scenarios that want
fixtures of the suite's own stand in expected-failures.yaml with their reasons; anything else that fails is a failure."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import proxy  # noqa: E402
from host import Host  # noqa: E402


async def run(tools: Path, host: Host) -> int:
    server, url = await proxy.start(host.url, host.headers)
    command = [str(tools / "node_modules/node/bin/node"), str(tools / "node_modules/.bin/conformance"), "server"]
    command += ["--url", url, "--suite", "active", "--expected-failures", str(HERE / "expected-failures.yaml")]
    command += ["--output-dir", str(host.out.parent / "results")]
    async with server:
        suite = await asyncio.create_subprocess_exec(*command, env={**os.environ, "NO_COLOR": "1"})
        return await suite.wait()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: conformance.py DIR")
    live = Host("--ticks", "0", "--mode", "realtime", "--hz", "5")
    try:
        code = asyncio.run(run(Path(sys.argv[1]).resolve(), live))
        live.finish(interrupt=True)
        live.replay()
    finally:
        live.close()
    sys.exit(code)
