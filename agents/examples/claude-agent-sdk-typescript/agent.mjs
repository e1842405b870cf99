/**
 * An agent of Formicarium that asks Claude, through the Claude Agent SDK for TypeScript.
 *
 * The seat's actions are the tools of an MCP server within this process, and one session with the model lasts the whole
 * run: each observation is a message to it, the tools that it calls become the tick's `act`, what it writes becomes the
 * `thought`. Whatever fails on the way to the model is a `log` line and a pass, and the next tick is asked anew. What to
 * ask comes from the environment: MODEL, ANTHROPIC_API_KEY, ANTHROPIC_BASE_URL. Plain JavaScript with types in comments, so
 * that Node 20 runs it without a build; README.md says how to run it.
 */

import { createRequire } from "node:module";
import path from "node:path";
import readline from "node:readline";
import { pathToFileURL } from "node:url";

/** @typedef {import("@anthropic-ai/claude-agent-sdk").Query} Query */
/** @typedef {import("@anthropic-ai/claude-agent-sdk").SDKUserMessage} UserMessage */
/** @typedef {{name: string, args: Record<string, unknown>}} Action */
/** @typedef {{name: string, description: string, parameters: any}} Catalogued */
/** @typedef {Record<"seat" | "role" | "rules", string>} Words */
/** @typedef {Words & {actions: Catalogued[], limits: Record<string, number>}} Hello */
/** @typedef {{tick: number, deadline_ms: number, text: string}} Seen */

// Agents are copied to a folder of their own, so the packages are not found beside this file: the cast says where.
const packages = process.env.FORMICARIUM_NODE_MODULES;
const finder = packages && createRequire(path.resolve(packages, "here.js"));
/** @param {string} name */
const load = (name) => import(finder ? pathToFileURL(finder.resolve(name)).href : name);

/** @type {typeof import("@anthropic-ai/claude-agent-sdk")} */
const { query } = await load("@anthropic-ai/claude-agent-sdk");
/** @type {typeof import("@modelcontextprotocol/sdk/server/mcp.js")} */
const { McpServer } = await load("@modelcontextprotocol/sdk/server/mcp.js");
/** @type {typeof import("@modelcontextprotocol/sdk/types.js")} */
const { CallToolRequestSchema, ListToolsRequestSchema } = await load("@modelcontextprotocol/sdk/types.js");

const WORLD = "world";
/** How much of a tick's deadline the model gets, and how long it may then take to stop. */
const PATIENCE = 0.9;
const GRACE_MS = 5000;
/** After so many failures in a row a new session begins: the old one may have grown too long for the model. */
const FAILURES = 3;
const TASK = `You live in a simulated world. Each message shows you what you see in a tick; answer it by calling one \
of the tools, which are all that you can do. Think briefly: others act at the same time.

`;
/** The CLI that the SDK starts talks to the model alone, keeps what it writes in HOME, and gives up early. */
const QUIET = {
  CLAUDE_CONFIG_DIR: path.join(process.env.HOME ?? ".", ".claude"),
  CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1",
  CLAUDE_CODE_MAX_RETRIES: "2",
  DISABLE_AUTOUPDATER: "1",
  DISABLE_ERROR_REPORTING: "1",
  DISABLE_TELEMETRY: "1",
  ENABLE_TOOL_SEARCH: "false",
};

/** The model could not be asked, or did not answer. The session is sound. */
class ModelError extends Error {
  name = "ModelError";
}

/** What the model wants in the tick that is on: filled by tool calls and by what it writes. */
class Turn {
  /** @type {Action[]} */ actions = [];
  /** @type {string[]} */ thoughts = [];

  /** @param {number} limit */
  constructor(limit) {
    this.limit = limit;
  }

  /**
   * Takes a tool call down. An action ends the model's turn, so that a tick costs one request; speech does not.
   * @param {string} name
   * @param {Record<string, unknown>} args
   */
  call(name, args) {
    /** @param {string} text */
    const content = (text) => [{ type: /** @type {const} */ ("text"), text }];
    const acted = this.actions.filter((action) => action.name !== "say").length;
    if (name !== "say" && acted === this.limit) {
      return { content: content(`Not done: ${this.limit} action(s) a tick.`), isError: true };
    }
    this.actions.push({ name, args });
    const ends = name !== "say" && acted + 1 === this.limit;
    return { content: content("Noted."), ...(ends && { _meta: { "claude/endTurn": true } }) };
  }
}

/** The session with the model: opened when first needed, and anew if it breaks. */
class Player {
  /** @type {Query | null} */ #session = null;
  /** @type {(message: UserMessage) => void} */ #send = () => {};
  #failures = 0;

  /** @param {Hello} hello */
  constructor(hello) {
    this.hello = hello;
    this.turn = new Turn(0);
  }

  /**
   * Shows the model an observation; returns what it wants to do. Throws if it does not say; see `recover`.
   * @param {Seen} seen
   */
  async think(seen) {
    const turn = (this.turn = new Turn(this.hello.limits.actions));
    this.#session ??= this.#open();
    this.#send({ type: "user", message: { role: "user", content: seen.text }, parent_tool_use_id: null });
    const taken = this.#take(this.#session, turn);
    if (!(await within(seen.deadline_ms * PATIENCE, taken))) {
      turn.limit = 0;
      const stopped = this.#session.interrupt().then(() => taken);
      if (!(await within(GRACE_MS, stopped))) throw new Error("the model took too long and did not stop");
      throw new ModelError("the model took too long");
    }
    this.#failures = 0;
    return turn;
  }

  /**
   * After `think` threw: ends a session that is of no use.
   * @param {unknown} error
   */
  recover(error) {
    this.#failures += 1;
    if (!(error instanceof ModelError) || this.#failures === FAILURES) {
      this.#failures = 0;
      this.close();
    }
  }

  close() {
    this.#session?.close();
    this.#session = null;
  }

  /**
   * Reads what the model does until its turn is over.
   * @param {Query} session
   * @param {Turn} turn
   */
  async #take(session, turn) {
    for (let read = await session.next(); !read.done; read = await session.next()) {
      const message = read.value;
      if (message.type === "assistant" && !message.error) {
        for (const block of message.message.content) if (block.type === "text") turn.thoughts.push(block.text);
      } else if (message.type === "result") {
        if (message.is_error && turn.limit && !turn.actions.length) {
          const said = message.subtype === "success" ? message.result : message.errors.join("; ");
          throw new ModelError(said || message.subtype);
        }
        return;
      }
    }
    throw new Error("the session ended");
  }

  #open() {
    const { seat, role, rules, actions } = this.hello;
    const prompt = mailbox();
    this.#send = prompt.put;
    return query({
      prompt: prompt.letters,
      options: {
        ...(process.env.MODEL && { model: process.env.MODEL }),
        env: { ...QUIET, ...process.env },
        systemPrompt: TASK + [`You are ${seat}.`, role, rules].join("\n\n"),
        mcpServers: { [WORLD]: { type: "sdk", name: WORLD, instance: this.#server() } },
        allowedTools: actions.map((action) => `mcp__${WORLD}__${action.name}`),
        permissionMode: "dontAsk",
        tools: [],
        settingSources: [],
        skills: [],
        strictMcpConfig: true,
        verbatimPrompts: true,
      },
    });
  }

  /** The actions as tools, with the catalogue's own JSON Schemas. The host checks arguments, so we need not. */
  #server() {
    const tools = this.hello.actions.map(({ name, description, parameters }) => {
      return { name, description, inputSchema: parameters };
    });
    const world = new McpServer({ name: WORLD, version: "1" }, { capabilities: { tools: {} } });
    world.server.setRequestHandler(ListToolsRequestSchema, () => ({ tools }));
    world.server.setRequestHandler(CallToolRequestSchema, ({ params: { name, arguments: args = {} } }) => {
      return this.turn.call(name, args);
    });
    return world;
  }
}

/** Messages that are put in one by one and come out of an endless iteration. */
function mailbox() {
  /** @type {UserMessage[]} */ const waiting = [];
  let wake = () => {};
  async function* letters() {
    for (;;) {
      for (let letter = waiting.shift(); letter; letter = waiting.shift()) yield letter;
      await new Promise((/** @type {(value?: unknown) => void} */ done) => (wake = done));
    }
  }
  /** @param {UserMessage} letter */
  const put = (letter) => {
    waiting.push(letter);
    wake();
  };
  return { letters: letters(), put };
}

/**
 * Whether it is done in that time; its error is thrown.
 * @param {number} ms
 * @param {Promise<void>} work
 */
async function within(ms, work) {
  /** @type {NodeJS.Timeout | undefined} */ let timer;
  const late = new Promise((done) => (timer = setTimeout(done, ms, false)));
  try {
    return (await Promise.race([work.then(() => true), late])) === true;
  } finally {
    clearTimeout(timer);
    work.catch(() => {});
  }
}

/**
 * The first so many characters, as the host counts them: half a pair of UTF-16 would be no JSON.
 * @param {string} text
 * @param {number} chars
 */
const cut = (text, chars) => [...text.slice(0, 2 * chars)].slice(0, chars).join("");

/** @param {object} message */
const tell = (message) => process.stdout.write(JSON.stringify(message) + "\n");

/** @type {Player | undefined} */ let player;
for await (const line of readline.createInterface({ input: process.stdin })) {
  const message = JSON.parse(line);
  if (message.type === "hello") {
    player = new Player(message);
    tell({ type: "ready", name: "claude-agent-sdk for TypeScript" });
  } else if (message.type === "observe" && player) {
    const { limits } = player.hello;
    const tick = message.tick;
    try {
      const turn = await player.think(message);
      const thought = cut(turn.thoughts.join("\n"), limits.thought_chars);
      if (turn.actions.every((action) => action.name === "say")) turn.actions.push({ name: "wait", args: {} });
      tell({ type: "act", tick, actions: turn.actions, ...(thought && { thought }) });
    } catch (error) {
      tell({ type: "log", text: cut(`tick ${tick}: ${error}`, limits.log_chars) });
      tell({ type: "act", tick, actions: [] });
      player.recover(error);
    }
  } else if (message.type === "end") {
    break;
  }
}
player?.close();
process.exit(0);
