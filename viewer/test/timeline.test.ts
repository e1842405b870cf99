// The law of the page's state: seeking to a tick shows what playing to it would, whatever was received before and after.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { FeedEvent, Snapshot, Thing, TickDelta } from "../src/feed/wire";
import { EMPTY, reduce } from "../src/state/reducer";
import type { Input, World } from "../src/state/reducer";
import { Timeline } from "../src/state/timeline";

const small = fc.integer({ min: 0, max: 6 });
const thing: fc.Arbitrary<Thing> = fc.record({ id: small, kind: small, x: small, y: small, seat: fc.integer({ min: -1, max: 3 }), face: fc.integer({ min: -1, max: 3 }), flags: fc.integer({ min: 0, max: 7 }) });
const event: fc.Arbitrary<Omit<FeedEvent, "tick">> = fc.record({
  name: fc.constantFrom("speech.said", "matrix.played", "harvest.ate", "something.new"),
  seat: fc.option(fc.integer({ min: 0, max: 3 })), other: fc.option(fc.integer({ min: 0, max: 3 })),
  at: fc.constant(null), text: fc.option(fc.string({ maxLength: 5 })), data: fc.constantFrom<Record<string, unknown>>({}, { mine: "cooperate", theirs: "defect", payoff: 0, other_payoff: 5 }),
});
const delta = fc.record({ upd: fc.array(thing, { maxLength: 4 }), del: fc.array(small, { maxLength: 3 }), scores: fc.array(fc.record({ seat: fc.integer({ min: 0, max: 3 }), score: small }), { maxLength: 2 }), metrics: fc.option(fc.array(fc.option(small), { maxLength: 2 })), events: fc.array(event, { maxLength: 3 }) });
const status = fc.array(fc.record({ seat: fc.integer({ min: 0, max: 3 }), status: fc.constantFrom("late", "playing", "absent"), reason: fc.option(fc.string({ maxLength: 3 })) }), { minLength: 1, maxLength: 2 });

type Step = { kind: "tick"; body: unknown } | { kind: "status"; seats: unknown } | { kind: "gap"; over: number; things: Thing[] };
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: delta.map((body) => ({ kind: "tick" as const, body })) },
  { weight: 2, arbitrary: status.map((seats) => ({ kind: "status" as const, seats })) },
  { weight: 1, arbitrary: fc.record({ over: fc.integer({ min: 1, max: 9 }), things: fc.array(thing, { maxLength: 5 }) }).map((gap) => ({ kind: "gap" as const, ...gap })) },
);

const snapshot = (things: readonly Thing[]): Snapshot => ({ things, scores: [0, 0, 0, 0], status: [], metrics: [], history: { ticks: [], values: [] }, recent: [], files: null });

/** What a host would have sent: ticks that follow each other, gaps answered by a snapshot. */
function inputs(steps: readonly Step[], start: number): Input[] {
  let tick = start;
  const out: Input[] = [{ kind: "snapshot", tick, body: snapshot([]) }];
  for (const step of steps) {
    if (step.kind === "status") out.push({ kind: "status", seats: step.seats as never });
    else if (step.kind === "gap") out.push({ kind: "snapshot", tick: (tick += step.over), body: snapshot(step.things) });
    else {
      tick += 1;
      const body = step.body as TickDelta;
      out.push({ kind: "tick", tick, body: { ...body, events: body.events.map((event) => ({ ...event, tick })) } });
    }
  }
  return out;
}

/** Plain play from the beginning, with no keyframes: every input that belongs to a tick up to `tick`. */
function play(list: readonly Input[], tick: number): World {
  let world = EMPTY;
  let at = -1;
  for (const input of list) {
    if (input.kind !== "status") at = input.tick;
    if (at > tick) break;
    world = reduce(world, input);
  }
  return world;
}

describe("seek equals play", () => {
  test("for every tick that is kept, with small and large segments", () => {
    fc.assert(fc.property(fc.array(step, { maxLength: 60 }), fc.integer({ min: 0, max: 50 }), fc.integer({ min: 1, max: 9 }), fc.integer({ min: 5, max: 60 }), (steps, start, segment, ticks) => {
      const list = inputs(steps, start);
      const timeline = new Timeline({ ticks, bytes: 1e9, segment });
      for (const input of list) timeline.push(input, 10);
      for (let tick = timeline.first; tick <= timeline.last; tick++) expect(timeline.at(tick)).toEqual(play(list, tick));
    }), { numRuns: 300 });
  });

  test("worlds already made never change", () => {
    fc.assert(fc.property(fc.array(step, { minLength: 1, maxLength: 30 }), (steps) => {
      let world = EMPTY;
      for (const input of inputs(steps, 0)) {
        const before = structuredClone(world);
        const next = reduce(world, input);
        expect(world).toEqual(before);
        world = next;
      }
    }));
  });

  test("stepping forward then back ends where it began, gaps included", () => {
    fc.assert(fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const timeline = new Timeline({ ticks: 1000, bytes: 1e9, segment: 4 });
      for (const input of inputs(steps, 3)) timeline.push(input);
      for (let tick: number | null = timeline.first; tick !== null; tick = timeline.next(tick)) {
        expect(timeline.at(tick).tick).toBe(tick);
        const next = timeline.next(tick);
        if (next !== null) expect(timeline.previous(next)).toBe(tick);
      }
    }));
  });
});

describe("memory", () => {
  const tick = (at: number): Input => ({ kind: "tick", tick: at, body: { upd: [], del: [], scores: [], metrics: null, events: [], files: null } });

  test("ticks and bytes stay under their limits, give or take a segment", () => {
    const timeline = new Timeline({ ticks: 100, bytes: 5_000, segment: 10 });
    timeline.push({ kind: "snapshot", tick: 0, body: snapshot([]) }, 100);
    for (let at = 1; at <= 10_000; at++) timeline.push(tick(at), 20);
    expect(timeline.size.ticks).toBeLessThanOrEqual(110);
    expect(timeline.last).toBe(10_000);
    expect(timeline.first).toBeGreaterThan(9_880);
    for (let at = 10_001; at <= 10_100; at++) timeline.push(tick(at), 1_000);
    expect(timeline.size.bytes).toBeLessThanOrEqual(15_000);
  });

  test("a host that went back takes the later ticks with it", () => {
    const timeline = new Timeline();
    timeline.push({ kind: "snapshot", tick: 0, body: snapshot([]) });
    for (let at = 1; at <= 20; at++) timeline.push(tick(at));
    timeline.push({ kind: "snapshot", tick: 8, body: snapshot([]) });
    expect(timeline.last).toBe(8);
    timeline.push(tick(9));
    expect(timeline.at(7).tick).toBe(7);
    expect(timeline.at(9).tick).toBe(9);
  });
});

describe("matrix games", () => {
  const played = (tick: number, seat: number, other: number, data: Record<string, unknown>): FeedEvent => ({ tick, name: "matrix.played", seat, other, at: null, text: null, data });
  const after = (events: FeedEvent[]): World => reduce(EMPTY, { kind: "tick", tick: 1, body: { upd: [], del: [], scores: [], metrics: null, events, files: null } });

  test("one event for both sides and one for each side count alike", () => {
    const both = after([played(1, 2, 0, { mine: "defect", theirs: "cooperate", payoff: 5, other_payoff: 0 })]);
    const each = after([played(1, 2, 0, { mine: "defect", theirs: "cooperate", payoff: 5 }), played(1, 0, 2, { mine: "cooperate", theirs: "defect", payoff: 0 })]);
    for (const world of [both, each]) expect(world.pairs.get("0:2")).toEqual({ a: 0, b: 2, rounds: 1, sumA: 0, sumB: 5, lastA: "cooperate", lastB: "defect" });
  });
});
