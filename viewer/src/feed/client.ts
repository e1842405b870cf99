// One spectator's connection to the feed: hello, order of frames, heartbeats, resume, backoff. It reports frames and one
// connection state in words. Must not know the DOM, the reducer or how anything is shown.
import { decodeFrame, FeedError, PROTOCOL } from "./wire";
import { readControl } from "./payload";
import type { EndMessage, Frame, GapMessage, StatusMessage, Welcome } from "./wire";

export type Phase =
  | "no-token" | "connecting" | "live" | "stale" | "gap" | "reconnecting" | "ended" | "bad-token" | "refused"
  /** The whole run is in the page; there is no host. */
  | "recorded"
  /** The run in the page cannot be read. */
  | "damaged";

export interface Connection {
  readonly phase: Phase;
  /** What a spectator should know or do. */
  readonly detail: string;
  /** Attempts since the last good message. */
  readonly attempt: number;
  /** When the next attempt starts, in ms of `Date.now()`. */
  readonly retryAt: number | null;
}

export interface Handlers {
  connection(state: Connection): void;
  welcome(message: Welcome, fresh: boolean): void;
  frame(frame: Frame): void;
  status(message: StatusMessage): void;
  gap(message: GapMessage): void;
  end(message: EndMessage): void;
}

export interface Timings { readonly staleMs: number; readonly deadMs: number; readonly firstBackoffMs: number; readonly lastBackoffMs: number; readonly helloMs: number }
export const TIMINGS: Timings = { staleMs: 5_000, deadMs: 15_000, firstBackoffMs: 500, lastBackoffMs: 10_000, helloMs: 8_000 };

export const WHERE_THE_LINK_IS = "Open the link that `formicarium run` printed in its terminal; it ends in #token=…";

export class FeedClient {
  #socket: WebSocket | null = null;
  #epoch: string | null = null;
  #seq: number | null = null;
  #resumable = false;
  #attempt = 0;
  #heard = 0;
  #over = false;
  #welcomed = false;
  #expectSnapshot = false;
  #timer: ReturnType<typeof setTimeout> | null = null;
  #watch: ReturnType<typeof setInterval> | null = null;
  #state: Connection = { phase: "connecting", detail: "", attempt: 0, retryAt: null };

  constructor(private readonly url: string, private readonly token: string, private readonly on: Handlers, private readonly timings: Timings = TIMINGS) {}

  start(): void {
    this.#watch ??= setInterval(() => this.#look(), 500);
    this.#connect();
  }

  /** Tries at once instead of waiting for the backoff. */
  retryNow(): void {
    if (this.#socket || this.#over) return;
    if (this.#timer) clearTimeout(this.#timer);
    this.#connect();
  }

  stop(): void {
    this.#over = true;
    if (this.#timer) clearTimeout(this.#timer);
    if (this.#watch) clearInterval(this.#watch);
    this.#socket?.close();
    this.#socket = null;
  }

  #connect(): void {
    this.#timer = null;
    this.#welcomed = false;
    this.#set(this.#attempt === 0 && this.#epoch === null ? "connecting" : "reconnecting", "Calling the host…", null);
    const socket = new WebSocket(this.url, PROTOCOL);
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    this.#heard = Date.now();
    // Frames are decoded one after the other: inflation is asynchronous and must not reorder them.
    let chain: Promise<void> = Promise.resolve();
    const mine = (): boolean => this.#socket === socket;
    socket.onopen = () => {
      const resume = this.#resumable && this.#epoch !== null && this.#seq !== null ? { resume: { epoch: this.#epoch, seq: this.#seq } } : {};
      const compress = typeof DecompressionStream === "function" ? "deflate" : "none";
      socket.send(JSON.stringify({ type: "hello", proto: PROTOCOL, token: this.token, compress, ...resume }));
    };
    socket.onmessage = (message) => {
      if (!mine()) return;
      this.#heard = Date.now();
      const data: unknown = message.data;
      chain = chain.then(async () => {
        if (!mine()) return;
        if (typeof data === "string") this.#control(data, socket);
        else if (data instanceof ArrayBuffer) {
          const frame = await decodeFrame(data);
          if (mine()) this.#data(frame, socket);
        }
      }).catch((error: unknown) => this.#restart(socket, `the page could not use a message: ${String(error)}`));
    };
    socket.onclose = (event) => {
      // After the messages before it, so that an `error` message is heard first.
      void chain.then(() => { if (mine()) this.#closed(event.code, event.reason); });
    };
  }

  #control(line: string, socket: WebSocket): void {
    const message = readControl(line);
    if (message instanceof FeedError) return this.#restart(socket, message.message);
    switch (message.type) {
      case "welcome": {
        const fresh = this.#epoch !== message.epoch;
        this.#epoch = message.epoch;
        this.#welcomed = true;
        if (!message.resumed) {
          this.#seq = null;
          this.#expectSnapshot = true;
        }
        this.on.welcome(message, fresh);
        if (message.resumed) this.#good(message.phase);
        return;
      }
      case "status":
        this.on.status(message);
        if (!this.#expectSnapshot) this.#good(message.phase);
        return;
      case "gap":
        this.#expectSnapshot = true;
        this.#set("gap", `Ticks were left out for this page (${message.reason || "it fell behind"}); a fresh picture follows.`, null);
        this.on.gap(message);
        return;
      case "end":
        this.on.end(message);
        this.#over = true;
        this.#set("ended", `The run ended at tick ${message.tick}: ${message.reason}`, null);
        return;
      case "error":
        if (message.code === "4401" || message.code === "bad_token") return this.#refuse("bad-token", `The host does not know this page's token. ${WHERE_THE_LINK_IS}`);
        if (!message.retry) return this.#refuse("refused", message.message || `The host refused this page (${message.code}).`);
        this.#state = { ...this.#state, detail: message.message };
        return;
      case "pong": case "other":
        return;
    }
  }

  #data(frame: Frame | FeedError, socket: WebSocket): void {
    if (frame instanceof FeedError) return this.#restart(socket, frame.message);
    if (frame.kind === "unknown") return;
    if (frame.kind === "static") return this.on.frame(frame);
    if (frame.kind === "snapshot") {
      this.#seq = frame.seq;
      this.#expectSnapshot = false;
      this.#resumable = true;
      this.on.frame(frame);
      this.#good(null);
      return;
    }
    if (this.#expectSnapshot || this.#seq === null) return;
    if (frame.seq <= this.#seq) return;
    if (frame.seq !== this.#seq + 1) return this.#restart(socket, `frame ${frame.seq} came after frame ${this.#seq}`);
    this.#seq = frame.seq;
    this.on.frame(frame);
    this.#good(null);
  }

  #good(phase: string | null): void {
    this.#attempt = 0;
    if (phase === "ended" && this.#state.phase !== "ended") this.#set("live", "The run has ended.", null);
    else if (this.#state.phase !== "live" && this.#state.phase !== "ended") this.#set("live", "", null);
  }

  /** What arrived makes no sense: forget what was received so far and begin with a fresh snapshot. */
  #restart(socket: WebSocket, why: string): void {
    if (this.#socket !== socket) return;
    this.#resumable = false;
    this.#socket = null;
    socket.onclose = null;
    socket.close();
    this.#again(`Starting over, since ${why}.`);
  }

  #closed(code: number, reason: string): void {
    this.#socket = null;
    if (this.#over) return;
    if (code === 4401) return this.#refuse("bad-token", `The host does not know this page's token. ${WHERE_THE_LINK_IS}`);
    if (code === 4400 || code === 4408) this.#resumable = false;
    if (code === 4409) return this.#again("The host has as many spectators as it takes.");
    if (code === 1001) return this.#again("The host went away.");
    this.#again(this.#welcomed ? `The connection to the host broke${reason ? ` (${reason})` : ""}.` : "The host does not answer.");
  }

  #again(why: string): void {
    if (this.#over) return;
    this.#attempt += 1;
    const { firstBackoffMs, lastBackoffMs } = this.timings;
    const wait = Math.min(lastBackoffMs, firstBackoffMs * 2 ** Math.min(this.#attempt - 1, 10)) * (0.8 + 0.4 * Math.random());
    this.#set("reconnecting", why, Date.now() + wait);
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#connect(), wait);
  }

  #refuse(phase: Phase, detail: string): void {
    this.#over = true;
    this.#set(phase, detail, null);
    this.#socket?.close();
    this.#socket = null;
  }

  #look(): void {
    if (this.#over || !this.#socket) return;
    const silent = Date.now() - this.#heard;
    if (!this.#welcomed && silent > this.timings.helloMs) return this.#drop("The host does not answer.");
    if (silent > this.timings.deadMs) return this.#drop(`Nothing came for ${Math.round(silent / 1000)} s.`);
    if (silent > this.timings.staleMs && this.#state.phase === "live") {
      this.#set("stale", "No heartbeat from the host; what you see may be old.", null);
    }
  }

  #drop(why: string): void {
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
    this.#again(why);
  }

  #set(phase: Phase, detail: string, retryAt: number | null): void {
    this.#state = { phase, detail, attempt: this.#attempt, retryAt };
    this.on.connection(this.#state);
  }
}
