"""A loopback proxy that adds a header to each request, for clients that cannot: the conformance suite. Standard library only."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

Reader, Writer = asyncio.StreamReader, asyncio.StreamWriter


async def _copy(source: Reader, sink: Writer) -> None:
    while chunk := await source.read(65536):
        sink.write(chunk)
        await sink.drain()


async def _serve(client: Reader, answer: Writer, host: str, port: int, header: bytes) -> None:
    upstream: Writer | None = None
    try:
        head = await client.readuntil(b"\r\n\r\n")
        first, *lines = head[:-4].split(b"\r\n")
        # One request a connection: the next one needs its header too.
        lines = [line for line in lines if not line.lower().startswith(b"connection:")]
        server, upstream = await asyncio.open_connection(host, port)
        upstream.write(b"\r\n".join([first, *lines, header, b"Connection: close"]) + b"\r\n\r\n")
        both = [asyncio.ensure_future(_copy(client, upstream)), asyncio.ensure_future(_copy(server, answer))]
        # Whoever leaves takes the other along: the server must see that its client is gone.
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        for copying in both:
            copying.cancel()
        await asyncio.gather(*both, return_exceptions=True)
    except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
        # One of the two has left, or the test is over.
        pass
    finally:
        for writer in (answer, upstream):
            if writer:
                writer.close()


async def start(url: str, headers: dict[str, str]) -> tuple[asyncio.Server, str]:
    """Listens; the server, and the URL to use in place of `url`."""
    to = urlsplit(url)
    assert to.hostname and to.port
    host, port = to.hostname, to.port
    header = b"\r\n".join(f"{name}: {value}".encode() for name, value in headers.items())
    server = await asyncio.start_server(lambda r, w: _serve(r, w, host, port, header), "127.0.0.1", 0)
    return server, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}{to.path}"
