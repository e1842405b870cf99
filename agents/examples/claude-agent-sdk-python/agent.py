"""An agent of Formicarium that asks Claude, through the Claude Agent SDK for Python.

The seat's actions are the tools of an MCP server within this process, and one session with the model lasts the whole
run: each observation is a message to it, the tools that it calls become the tick's `act`, what it writes becomes the
`thought`. Whatever fails on the way to the model is a `log` line and a pass, and the next tick is asked anew. Settings
come from the environment: MODEL, ANTHROPIC_API_KEY, ANTHROPIC_BASE_URL. Needs `formicarium.py` beside it and
`claude-agent-sdk` (requirements.txt); README.md says how to run it.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

from claude_agent_sdk import (
    AssistantMessage,
    ClaudeAgentOptions,
    ClaudeSDKClient,
    McpSdkServerConfig,
    ResultMessage,
    TextBlock,
)
from mcp.server import Server
from mcp.types import CallToolRequestParams, CallToolResult, ListToolsResult, TextContent, Tool

from formicarium import Hello, Seat, Seen

WORLD = "world"
#: How much of a tick's deadline the model gets, and how long it may then take to stop.
PATIENCE, GRACE_S = 0.9, 5.0
#: After so many failures in a row a new session begins: the old one may have grown too long for the model.
FAILURES = 3
TASK = """You live in a simulated world. Each message shows you what you see in a tick; answer it by calling one of \
the tools, which are all that you can do. Think briefly: others act at the same time.

"""
#: The CLI that the SDK starts talks to the model and to nothing else, keeps what it writes in HOME, and gives up early.
QUIET = {
    "CLAUDE_CONFIG_DIR": os.path.join(os.environ.get("HOME", "."), ".claude"),
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "CLAUDE_CODE_MAX_RETRIES": "2",
    "DISABLE_AUTOUPDATER": "1",
    "DISABLE_ERROR_REPORTING": "1",
    "DISABLE_TELEMETRY": "1",
    "ENABLE_TOOL_SEARCH": "false",
}


class ModelError(Exception):
    """The model could not be asked, or did not answer. The session is sound."""


class Turn:
    """What the model wants in the tick that is on: filled by tool calls and by what it writes."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.actions: list[dict[str, Any]] = []
        self.thoughts: list[str] = []

    def call(self, name: str, args: dict[str, Any]) -> CallToolResult:
        """Takes a tool call down. An action ends the model's turn, so a tick costs one request; speech does not."""
        acted = sum(action["name"] != "say" for action in self.actions)
        if name != "say" and acted == self.limit:
            return CallToolResult(content=[_text(f"Not done: {self.limit} action(s) a tick.")], is_error=True)
        self.actions.append({"name": name, "args": args})
        ends = name != "say" and acted + 1 == self.limit
        return CallToolResult(content=[_text("Noted.")], _meta={"claude/endTurn": True} if ends else None)


class Player:
    """The session with the model: opened when first needed, and anew if it breaks."""

    def __init__(self, hello: Hello) -> None:
        self.hello = hello
        self.turn = Turn(hello.limits["actions"])
        self._client: ClaudeSDKClient | None = None
        self._failures = 0

    async def think(self, seen: Seen) -> Turn:
        """Shows the model an observation; returns what it wants to do. Raises if it does not say; see `recover`."""
        self.turn = turn = Turn(self.hello.limits["actions"])
        if self._client is None:
            self._client = ClaudeSDKClient(self._options())
            await self._client.connect()
        try:
            async with asyncio.timeout(seen.deadline_ms / 1000 * PATIENCE):
                await self._client.query(seen.text)
                await self._take(turn)
        except TimeoutError:
            async with asyncio.timeout(GRACE_S):
                await self._client.interrupt()
                await self._take(Turn(0))
            raise ModelError("the model took too long") from None
        self._failures = 0
        return turn

    async def recover(self, error: Exception) -> None:
        """After `think` raised: ends a session that is of no use. Pass the tick before, this may take a while."""
        self._failures += 1
        if not isinstance(error, ModelError) or self._failures == FAILURES:
            self._failures = 0
            await self.close()

    async def _take(self, turn: Turn) -> None:
        """Reads what the model does until its turn is over."""
        assert self._client is not None
        async for message in self._client.receive_response():
            if isinstance(message, AssistantMessage) and message.error is None:
                turn.thoughts += [block.text for block in message.content if isinstance(block, TextBlock)]
            elif isinstance(message, ResultMessage):
                if message.is_error and turn.limit and not turn.actions:
                    raise ModelError(message.result or "; ".join(message.errors or [message.subtype]))
                return
        raise RuntimeError("the session ended")

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.disconnect()

    def _options(self) -> ClaudeAgentOptions:
        return ClaudeAgentOptions(
            model=os.environ.get("MODEL"),
            env={name: os.environ.get(name, value) for name, value in QUIET.items()},
            system_prompt=TASK + "\n\n".join([f"You are {self.hello.seat}.", self.hello.role, self.hello.rules]),
            mcp_servers={WORLD: McpSdkServerConfig(type="sdk", name=WORLD, instance=self._server())},
            allowed_tools=[f"mcp__{WORLD}__{action.name}" for action in self.hello.actions],
            permission_mode="dontAsk",
            tools=[],
            setting_sources=[],
            skills=[],
            strict_mcp_config=True,
            verbatim_prompts=True,
            max_buffer_size=64 * 1024 * 1024,
        )

    def _server(self) -> Server[Any]:
        """The actions as tools, with the catalogue's own JSON Schemas. The host checks arguments, so we need not."""
        tools = [
            Tool(
                name=action.name,
                description=action.description,
                input_schema=action.parameters,
            )
            for action in self.hello.actions
        ]

        async def list_tools(context: Any, params: Any) -> ListToolsResult:
            return ListToolsResult(tools=tools)

        async def call_tool(context: Any, params: CallToolRequestParams) -> CallToolResult:
            return self.turn.call(params.name, params.arguments or {})

        return Server(WORLD, on_list_tools=list_tools, on_call_tool=call_tool)


def _text(text: str) -> TextContent:
    return TextContent(type="text", text=text)


async def main() -> None:
    seat = Seat(name="claude-agent-sdk for Python")
    player = Player(seat.hello)
    thought_chars, log_chars = seat.hello.limits["thought_chars"], seat.hello.limits["log_chars"]
    seen_all = iter(seat)
    try:
        while (seen := await asyncio.to_thread(next, seen_all, None)) is not None:
            try:
                turn = await player.think(seen)
            except Exception as error:  # whatever it is, the world goes on and so does this agent
                seat.log(f"tick {seen.tick}: {type(error).__name__}: {error}"[:log_chars])
                seat.act(None)
                await player.recover(error)
                continue
            thought = "\n".join(turn.thoughts)[:thought_chars] or None
            if all(action["name"] == "say" for action in turn.actions):
                turn.actions.append({"name": "wait", "args": {}})
            seat.act_all(turn.actions, thought=thought)
    finally:
        await player.close()


if __name__ == "__main__":
    asyncio.run(main())
