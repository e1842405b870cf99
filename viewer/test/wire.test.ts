// Decoding of the feed: what is right comes through, and whatever is wrong is a FeedError, never a throw.
import fc from "fast-check";
import { deflateRawSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { readControl } from "../src/feed/payload";
import { decodeFrame, FeedError, readHeader, writeHeader } from "../src/feed/wire";

function frame(kind: number, seq: number, tick: number, payload: Uint8Array, flags = 0): ArrayBuffer {
  const head = writeHeader({ kind, flags, stream: 0, seq, tick });
  const whole = new Uint8Array(head.length + payload.length);
  whole.set(head);
  whole.set(payload, head.length);
  return whole.buffer;
}
const json = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));
const THINGS = { id: [1, 2], kind: [0, 1], x: [3, 4], y: [5, 6], seat: [0, -1], face: [1, -1], flags: [0, 0] };

describe("header", () => {
  test("is 22 bytes, little-endian, as docs/feed-protocol.md has it", () => {
    const bytes = writeHeader({ kind: 3, flags: 1, stream: 0x01020304, seq: 0x1122334455, tick: 7 });
    expect(Buffer.from(bytes).toString("hex")).toBe("03010403020155443322110000000700000000000000");
  });

  test("round-trips", () => {
    const whole = fc.integer({ min: 0, max: 2 ** 53 - 1 });
    fc.assert(fc.property(fc.integer({ min: 0, max: 255 }), fc.integer({ min: 0, max: 255 }), fc.integer({ min: 0, max: 2 ** 32 - 1 }), whole, whole, (kind, flags, stream, seq, tick) => {
      const header = { kind, flags, stream, seq, tick };
      expect(readHeader(writeHeader(header).buffer as ArrayBuffer)).toEqual(header);
    }));
  });

  test("refuses numbers that JavaScript would round", async () => {
    const bytes = writeHeader({ kind: 3, flags: 0, stream: 0, seq: 0, tick: 0 });
    bytes.fill(0xff, 6, 14);
    expect(await decodeFrame(bytes.buffer as ArrayBuffer)).toBeInstanceOf(FeedError);
  });
});

describe("frames", () => {
  test("a tick comes through, plain and deflated", async () => {
    const body = json({ upd: THINGS, del: [9], scores: { seat: [0], score: [2.5] }, metrics: [1, null], events: [{ tick: 8, name: "speech.said", seat: 0, other: null, at: [1, 2], text: "hello", data: { how: "say" } }] });
    for (const [payload, flags] of [[body, 0], [deflateRawSync(body), 1]] as const) {
      const got = await decodeFrame(frame(3, 4, 8, payload, flags));
      expect(got).toMatchObject({ kind: "tick", seq: 4, tick: 8, body: { del: [9], scores: [{ seat: 0, score: 2.5 }], metrics: [1, null] } });
      if (got instanceof FeedError || got.kind !== "tick") throw new Error("unreachable");
      expect(got.body.upd[0]).toEqual({ id: 1, kind: 0, x: 3, y: 5, seat: 0, face: 1, flags: 0 });
      expect(got.body.events[0]?.text).toBe("hello");
    }
  });

  test("an empty tick is a tick in which nothing changed", async () => {
    expect(await decodeFrame(frame(3, 1, 1, json({})))).toMatchObject({ kind: "tick", body: { upd: [], del: [], scores: [], metrics: null, events: [] } });
  });

  test("kinds and streams of a later v1 are unknown, not errors", async () => {
    expect(await decodeFrame(frame(9, 1, 1, json({})))).toMatchObject({ kind: "unknown" });
  });

  test.each([
    ["columns of unequal length", 3, { upd: { ...THINGS, x: [3] } }],
    ["a column that is missing", 2, { things: { ...THINGS, face: undefined } }],
    ["a place that is no number", 3, { upd: { ...THINGS, y: ["5", 6] } }],
    ["a map that cannot be drawn", 1, { space: { width: 1e9, height: 1e9 } }],
    ["a list for an object", 2, []],
    ["null", 1, null],
  ])("%s is an error in words", async (_, kind, body) => {
    const got = await decodeFrame(frame(kind, 1, 1, json(body)));
    expect(got).toBeInstanceOf(FeedError);
    expect((got as FeedError).message.length).toBeGreaterThan(10);
  });

  test("no bytes whatsoever make it throw", async () => {
    await fc.assert(fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (bytes) => {
      const got = await decodeFrame(bytes.slice().buffer);
      expect(got instanceof FeedError || typeof got.kind === "string").toBe(true);
    }), { numRuns: 500 });
  });

  test("nor any cut of a good frame, nor any JSON", async () => {
    const good = frame(2, 1, 1, deflateRawSync(json({ things: THINGS, scores: [1], status: [{ status: "late", reason: "x" }] })), 1);
    for (let length = 0; length < good.byteLength; length++) {
      const got = await decodeFrame(good.slice(0, length));
      expect(got).toBeInstanceOf(FeedError);
    }
    await fc.assert(fc.asyncProperty(fc.integer({ min: 1, max: 3 }), fc.jsonValue(), async (kind, value) => {
      const got = await decodeFrame(frame(kind, 1, 1, json(value)));
      expect(got instanceof FeedError || got.kind !== "unknown").toBe(true);
    }), { numRuns: 500 });
  });
});

describe("control", () => {
  test("a status keeps the seats that make sense", () => {
    expect(readControl('{"type":"status","phase":"running","head_tick":3,"head_seq":3,"tps":8,"seats":[{"seat":1,"status":"late","reason":"slow"},{"seat":-1},7]}'))
      .toMatchObject({ type: "status", seats: [{ seat: 1, status: "late", reason: "slow" }] });
  });
  test("codes are text whether the host sends a number or a word", () => {
    expect(readControl('{"type":"error","code":4401,"message":"no","retry":false}')).toMatchObject({ code: "4401", retry: false });
  });
  test("anything else is tolerated or an error, never a throw", () => {
    expect(readControl('{"type":"marker"}')).toEqual({ type: "other", name: "marker" });
    expect(readControl('{"type":"welcome"}')).toBeInstanceOf(FeedError);
    fc.assert(fc.property(fc.oneof(fc.string(), fc.json()), (line) => {
      const got = readControl(line);
      expect(got instanceof FeedError || typeof got.type === "string").toBe(true);
    }));
  });
});
