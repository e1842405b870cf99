// The shapes of feed `formicarium.observe.v1` and the decoding of its frames. Must not know sockets, the DOM or what the
// page does with the data. Whatever arrives, decoding answers with a value or a FeedError; it never throws anything else.
import { FeedError } from "./error";
import type { FilesDelta, FilesSnapshot } from "./files";
import { readSnapshot, readStatic, readTick } from "./payload";

export { FeedError };

export const PROTOCOL = "formicarium.observe.v1";
export const HEADER_BYTES = 22;
/** Largest payload accepted after inflation; a bigger one is a broken or hostile host. */
export const PAYLOAD_LIMIT_BYTES = 64 * 1024 * 1024;
const FLAG_DEFLATE = 1;

export type SeatStatusName = "starting" | "ready" | "playing" | "late" | "absent" | "exited" | "ended";
/** What a seat's calls of a model have used so far. */
export interface CostTotals { readonly tokens: number; readonly calls: number; readonly usd: number }
export interface SeatStatus { readonly status: string; readonly reason: string | null; readonly cost?: CostTotals }

export interface Kind { readonly name: string; readonly glyph: string; readonly colour: string; readonly solid: boolean; readonly opaque: boolean }
export interface Space { readonly width: number; readonly height: number; readonly torus: boolean }
export interface SeatInfo { readonly name: string; readonly group: string; readonly agent: string }
export interface MetricInfo { readonly name: string; readonly title: string; readonly unit: string }

/** Payload of a static frame: what does not change during a run. */
export interface Static {
  readonly scenario: { readonly name: string; readonly title: string; readonly summary: string };
  readonly run: string;
  readonly seed: string;
  readonly params: Readonly<Record<string, unknown>>;
  readonly mode: string;
  readonly hz: number | null;
  readonly cast: string | null;
  readonly casts: readonly string[];
  /** Starts such a run; `--cast NAME` behind it takes another cast. */
  readonly command: string;
  readonly isolation: string | null;
  readonly space: Space | null;
  readonly kinds: readonly Kind[];
  /** Kind index + 1 per cell, row-major; 0 is bare floor. */
  readonly terrain: readonly number[];
  readonly seats: readonly SeatInfo[];
  readonly metrics: readonly MetricInfo[];
  readonly score: { readonly unit: string; readonly best: string };
  readonly actions: readonly { readonly name: string; readonly description: string }[];
}

export const FLAG_TIMED_OUT = 1;
export const FLAG_ABSENT = 2;
export const FLAG_EXITED = 4;

/** One thing on the map. `seat` is -1 for what is nobody's body; `face` is -1 or 0 N, 1 E, 2 S, 3 W, 4 NE, 5 SE, 6 SW, 7 NW. */
export interface Thing {
  readonly id: number;
  readonly kind: number;
  readonly x: number;
  readonly y: number;
  readonly seat: number;
  readonly face: number;
  readonly flags: number;
}

export interface FeedEvent {
  readonly tick: number;
  readonly name: string;
  readonly seat: number | null;
  readonly other: number | null;
  readonly at: readonly [number, number] | null;
  readonly text: string | null;
  readonly data: Readonly<Record<string, unknown>>;
}

export interface Snapshot {
  readonly things: readonly Thing[];
  readonly scores: readonly number[];
  readonly status: readonly SeatStatus[];
  readonly metrics: readonly (number | null)[];
  readonly history: { readonly ticks: readonly number[]; readonly values: readonly (readonly (number | null)[])[] };
  readonly recent: readonly FeedEvent[];
  /** Null where the scenario shares no files. */
  readonly files: FilesSnapshot | null;
}

export interface TickDelta {
  readonly upd: readonly Thing[];
  readonly del: readonly number[];
  readonly scores: readonly { readonly seat: number; readonly score: number }[];
  readonly metrics: readonly (number | null)[] | null;
  readonly events: readonly FeedEvent[];
  /** Null where nothing became of the shared files. */
  readonly files: FilesDelta | null;
}

export type Frame = { readonly stream: number; readonly seq: number; readonly tick: number; readonly bytes: number } & (
  | { readonly kind: "static"; readonly body: Static }
  | { readonly kind: "snapshot"; readonly body: Snapshot }
  | { readonly kind: "tick"; readonly body: TickDelta }
  | { readonly kind: "unknown" }
);

export interface Welcome {
  readonly type: "welcome";
  readonly run: string;
  readonly epoch: string;
  readonly tick: number;
  readonly first_tick: number;
  readonly head_tick: number;
  readonly mode: string;
  readonly hz: number | null;
  readonly ticks: number;
  readonly phase: string;
  readonly caps: readonly string[];
  readonly resumed: boolean;
}
export interface StatusMessage {
  readonly type: "status";
  readonly phase: string;
  readonly head_tick: number;
  readonly head_seq: number;
  readonly tps: number;
  readonly seats: readonly (SeatStatus & { readonly seat: number })[];
}
export interface GapMessage { readonly type: "gap"; readonly from: number; readonly to: number; readonly reason: string }
export interface EndMessage { readonly type: "end"; readonly tick: number; readonly reason: string; readonly scores: readonly number[] }
export interface ErrorMessage { readonly type: "error"; readonly code: string; readonly message: string; readonly retry: boolean }
export interface PongMessage { readonly type: "pong"; readonly id: number; readonly head_tick: number; readonly head_seq: number }
export interface OtherMessage { readonly type: "other"; readonly name: string }
export type Control = Welcome | StatusMessage | GapMessage | EndMessage | ErrorMessage | PongMessage | OtherMessage;

export interface Header { readonly kind: number; readonly flags: number; readonly stream: number; readonly seq: number; readonly tick: number }

/** Reads the 22-byte little-endian header. Sequence numbers past 2^53 are refused, since JavaScript would round them. */
export function readHeader(buffer: ArrayBuffer): Header {
  if (buffer.byteLength < HEADER_BYTES) {
    throw new FeedError(`data frame of ${buffer.byteLength} bytes is shorter than its ${HEADER_BYTES}-byte header`);
  }
  const view = new DataView(buffer);
  const seq = Number(view.getBigUint64(6, true));
  const tick = Number(view.getBigUint64(14, true));
  if (!Number.isSafeInteger(seq) || !Number.isSafeInteger(tick)) throw new FeedError("sequence number or tick of a data frame is out of range");
  return { kind: view.getUint8(0), flags: view.getUint8(1), stream: view.getUint32(2, true), seq, tick };
}

/** Writes a header; used by the scripted feed's tests. */
export function writeHeader(header: Header): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, header.kind);
  view.setUint8(1, header.flags);
  view.setUint32(2, header.stream, true);
  view.setBigUint64(6, BigInt(header.seq), true);
  view.setBigUint64(14, BigInt(header.tick), true);
  return bytes;
}

async function inflate(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array> {
  const reader = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw")).getReader();
  const parts: Uint8Array[] = [];
  let total = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    total += value.byteLength;
    if (total > PAYLOAD_LIMIT_BYTES) {
      void reader.cancel().catch(() => undefined);
      throw new FeedError(`payload inflates past ${PAYLOAD_LIMIT_BYTES} bytes`);
    }
    parts.push(value);
  }
  const whole = new Uint8Array(total);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.byteLength;
  }
  return whole;
}

/** Decodes one binary message. Kinds this page does not know come back as `unknown`, as the feed may grow within v1. */
export async function decodeFrame(buffer: ArrayBuffer): Promise<Frame | FeedError> {
  try {
    const header = readHeader(buffer);
    const base = { stream: header.stream, seq: header.seq, tick: header.tick, bytes: buffer.byteLength };
    if (header.stream !== 0 || header.kind < 1 || header.kind > 3) return { ...base, kind: "unknown" };
    let bytes: Uint8Array = new Uint8Array(buffer, HEADER_BYTES);
    if (header.flags & FLAG_DEFLATE) bytes = await inflate(bytes as Uint8Array<ArrayBuffer>);
    const json: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    if (header.kind === 1) return { ...base, kind: "static", body: readStatic(json) };
    if (header.kind === 2) return { ...base, kind: "snapshot", body: readSnapshot(json) };
    return { ...base, kind: "tick", body: readTick(json) };
  } catch (error) {
    return error instanceof FeedError ? error : new FeedError(`data frame cannot be read: ${error instanceof Error ? error.message : String(error)}`);
  }
}
