// The shared files: read from the feed, reduced, listed, and told in the log.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { FeedError } from "../src/feed/error";
import { readFiles, readFilesDelta } from "../src/feed/files";
import type { FilesDelta } from "../src/feed/files";
import type { FeedEvent } from "../src/feed/wire";
import { filesAfter, filesOf, filesOfSeat, rowsOf } from "../src/state/files";
import { groupOf, Log, sentence } from "../src/state/log";
import { EMPTY, reduce } from "../src/state/reducer";
import type { Input } from "../src/state/reducer";
import { Timeline } from "../src/state/timeline";
import { size, span } from "../src/ui/files";
import { fold } from "../src/ui/timeline";

/** As docs/feed-protocol.md has it. */
const EXAMPLE = {
  paths: { path: ["old.md", "run.sh", "toc.md"], version: [2, 1, 4], kind: [0, 2, 1], bytes: [0, 10, 120], seat: [0, 0, 2], tick: [2, 1, 11] },
  leases: { token: [7], path: ["toc.md"], subtree: [0], seat: [2], since: [10], until_ms: [1764073809000] },
  waiting: { path: ["toc.md"], subtree: [0], seat: [1], since: [11] },
  count: 2, bytes: 130, held: 1, waits: 1, published: 4, refused: 1,
};
const TICK = { upd: { path: ["toc.md"], version: [5], kind: [1], bytes: [140], seat: [2], tick: [11] }, count: 2, bytes: 150, held: 1, waits: 1, published: 5, refused: 1 };

describe("the feed's columns", () => {
  test("come through as the protocol has them", () => {
    const files = filesOf(readFiles(EXAMPLE))!;
    expect(files.paths.get("toc.md")).toEqual({ path: "toc.md", version: 4, kind: 1, bytes: 120, seat: 2, tick: 11, changed: null });
    expect(files.leases).toEqual([{ token: 7, path: "toc.md", subtree: false, seat: 2, since: 10, untilMs: 1764073809000 }]);
    const next = filesAfter(files, 12, readFilesDelta(TICK))!;
    expect(next.paths.get("toc.md")).toMatchObject({ version: 5, bytes: 140, changed: 12 });
    expect([next.leases, next.waiting]).toEqual([files.leases, files.waiting]);
    expect(next.totals).toEqual({ count: 2, bytes: 150, held: 1, waits: 1, published: 5, refused: 1 });
    const over = filesAfter(next, 13, readFilesDelta({ ...TICK, upd: undefined, del: ["old.md"], leases: {}, waiting: {}, held: 0, waits: 0 }))!;
    expect([[...over.paths.keys()], over.leases, over.waiting]).toEqual([["run.sh", "toc.md"], [], []]);
  });

  test("of a scenario without files are nothing", () => {
    expect(readFiles(null)).toBeNull();
    expect(readFilesDelta(undefined)).toBeNull();
    expect(filesAfter(null, 1, null)).toBeNull();
  });

  test.each([
    ["a column that is too short", { ...EXAMPLE, paths: { ...EXAMPLE.paths, bytes: [1] } }],
    ["a column that is missing", { ...EXAMPLE, leases: { ...EXAMPLE.leases, until_ms: undefined } }],
    ["a path that is none", { ...EXAMPLE, waiting: { ...EXAMPLE.waiting, path: [7] } }],
    ["a list for an object", []],
  ])("with %s are an error in words", (_, json) => {
    expect(() => readFiles(json)).toThrow(FeedError);
  });

  test("of any JSON are an error or files, nothing else", () => {
    for (const read of [readFiles, readFilesDelta]) {
      fc.assert(fc.property(fc.jsonValue(), (json) => {
        try { read(json); } catch (error) { expect(error).toBeInstanceOf(FeedError); }
      }));
    }
  });
});

describe("seek equals play", () => {
  const whole = fc.integer({ min: 0, max: 5 });
  const path = fc.record({ path: fc.constantFrom("a", "b", "c/d"), version: whole, kind: whole, bytes: whole, seat: fc.integer({ min: -1, max: 2 }), tick: whole });
  const lease = fc.record({ path: fc.constantFrom("", "a"), subtree: fc.boolean(), token: whole, seat: whole, since: whole, untilMs: whole });
  const totals = fc.record({ count: whole, bytes: whole, held: whole, waits: whole, published: whole, refused: whole });
  const delta: fc.Arbitrary<FilesDelta> = fc.record({ upd: fc.array(path, { maxLength: 3 }), del: fc.array(fc.constantFrom("a", "b"), { maxLength: 2 }), leases: fc.option(fc.array(lease, { maxLength: 2 })), waiting: fc.option(fc.array(lease, { maxLength: 2 })), totals });

  test("for files too, and no world that was made changes", () => {
    fc.assert(fc.property(fc.array(fc.option(delta), { maxLength: 30 }), (deltas) => {
      const timeline = new Timeline({ ticks: 1000, bytes: 1e9, segment: 4 });
      const inputs: Input[] = [{ kind: "snapshot", tick: 0, body: { things: [], scores: [], status: [], metrics: [], history: { ticks: [], values: [] }, recent: [], files: readFiles(EXAMPLE) } }];
      deltas.forEach((files, at) => inputs.push({ kind: "tick", tick: at + 1, body: { upd: [], del: [], scores: [], metrics: null, events: [], files } }));
      let world = EMPTY;
      const kept: unknown[] = [];
      const worlds = inputs.map((input) => {
        timeline.push(input);
        world = reduce(world, input);
        kept.push(structuredClone(world.files));
        return world;
      });
      worlds.forEach((each, tick) => expect(timeline.at(tick).files).toEqual(each.files));
      expect(worlds.map((each) => each.files)).toEqual(kept);
    }));
  });
});

describe("the list", () => {
  const files = filesOf(readFiles({
    ...EXAMPLE,
    paths: { path: ["a", "b", "notes", "notes/x"], version: [1, 2, 1, 3], kind: [1, 1, 3, 1], bytes: [1, 2, 0, 3], seat: [-1, 1, 1, 1], tick: [0, 4, 1, 9] },
    leases: { token: [1, 2], path: ["notes", "a"], subtree: [1, 0], seat: [0, 1], since: [3, 4], until_ms: [5, 6] },
    waiting: { path: ["", "a"], subtree: [1, 0], seat: [2, 2], since: [3, 4] },
  }))!;

  test("has what is held or waited for on top, folders only there, then the newest", () => {
    expect(rowsOf(files, "newest").map((row) => row.name)).toEqual(["**", "a", "notes/**", "notes/x", "b"]);
    expect(rowsOf(files, "path").map((row) => row.name)).toEqual(["**", "a", "notes/**", "b", "notes/x"]);
    const a = rowsOf(files, "path")[1]!;
    expect([a.file?.version, a.leases[0]?.seat, a.waiting[0]?.seat]).toEqual([1, 1, 2]);
  });

  test("knows what a seat holds, waits for and wrote", () => {
    const own = filesOfSeat(files, 1, 1);
    expect([own.holds.map((lease) => lease.token), own.waits, own.wrote.map((file) => file.path)]).toEqual([[2], [], ["notes/x"]]);
    expect(filesOfSeat(files, 2, 9).waits).toHaveLength(2);
  });

  test("says sizes and times in few characters", () => {
    expect([0, 999, 1_000, 9_960, 120_400, 999_600, 16e6, 3e12].map(size)).toEqual(["0 B", "999 B", "1.0 kB", "10 kB", "120 kB", "1.0 MB", "16 MB", "3000 GB"]);
    expect([-5, 1, 42_100, 99_000, 100_001, 3_600_000, 86_400_000].map(span)).toEqual(["ending", "1 s", "43 s", "99 s", "2 min", "60 min", "24 h"]);
  });
});

describe("the log", () => {
  const event = (name: string, data: Record<string, unknown>, other: number | null = null): FeedEvent => ({ tick: 3, name, seat: 0, other, at: null, text: "toc.md", data });
  const said = (each: FeedEvent): string => sentence(each, (seat) => `writer-${seat}`);

  test("has a sentence for each event of a file", () => {
    expect([
      event("file.published", { version: 4, change: "changed", merged: true }), event("file.published", { version: 1, change: "created", merged: false }),
      event("file.published", { version: 5, change: "deleted", merged: false }), event("file.refused", { code: "leased", reason: "long" }, 1),
      event("file.refused", { code: "conflict", reason: "long" }), event("file.refused", { code: "limit", reason: "the tree is full" }),
      event("file.leased", { token: 1 }), event("file.released", { token: 1 }), event("file.expired", { token: 1 }),
    ].map(said)).toEqual([
      "publishes toc.md@4 (merged)", "creates toc.md@1", "deletes toc.md@5", "was refused toc.md: writer-1 holds it",
      "was refused toc.md: others changed the same lines meanwhile", "was refused toc.md: the tree is full",
      "leases toc.md", "gives toc.md back", "holds toc.md no more: its lease is over",
    ]);
    expect(["published", "refused", "leased", "released", "expired"].map((what) => groupOf(`file.${what}`))).toEqual(Array(5).fill("files"));
  });

  test("tells a refused publish once, and a desk that cannot be read", () => {
    const log = new Log();
    const rejected = (code: string): FeedEvent => ({ ...event("action.rejected", { action: "publish", code }), text: code });
    log.push(3, [event("file.refused", { code: "leased" }, 1), rejected("leased"), rejected("desk"), { ...rejected("leased"), data: { action: "move", code: "name" } }]);
    expect(log.upTo(9, new Set(["files", "rejections"]), null, 10).map((line) => line.event.data["code"])).toEqual(["leased", "desk", "name"]);
  });

  test("folds versions of one file to the newest", () => {
    const log = new Log();
    for (const version of [1, 2, 3]) log.push(version, [{ ...event("file.published", { version }), tick: version }]);
    const rows = fold(log.upTo(9, new Set(["files"]), null, 10));
    expect(rows.map((row) => [said(row.line.event), row.times, row.until])).toEqual([["publishes toc.md@3", 3, 3]]);
  });
});
