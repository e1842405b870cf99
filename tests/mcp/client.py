"""A stock MCP client that plays a seat: client.py MCP_JSON TICKS. It walks, and prints what it sees, a line a tick."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import TextContent


@asynccontextmanager
async def connect(url: str, headers: dict[str, str]) -> AsyncIterator[Client]:
    """A client at the seat that the token opens, with the library's own defaults."""
    async with httpx2.AsyncClient(headers=headers) as http:
        async with Client(streamable_http_client(url, http_client=http)) as client:
            yield client


async def call(client: Client, tool: str, **args: str) -> tuple[str, bool]:
    """The words of the answer, and whether the call was refused."""
    result = await client.call_tool(tool, dict(args))
    words = "".join(part.text for part in result.content if isinstance(part, TextContent))
    return words, bool(result.is_error)


async def play(client: Client, ticks: int) -> list[str]:
    """Walks to and fro; what was seen, until that many ticks have passed or the run is over."""
    words, _ = await call(client, "wait")
    seen = [words]
    print(words.splitlines()[0], flush=True)
    while len(seen) <= ticks:
        words, refused = await call(client, "move", dir=("east", "west")[len(seen) % 2])
        assert not refused, words
        print(words.splitlines()[0], flush=True)
        if words.startswith("The run is over"):
            break
        seen.append(words)
    return seen


async def main(file: str, ticks: int) -> None:
    server = json.loads(Path(file).read_text())["mcpServers"]["formicarium"]
    async with connect(server["url"], server["headers"]) as client:
        await play(client, ticks)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
