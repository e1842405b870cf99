// The one reducer of the page: (world, input) -> world. Pure and persistent: a world once made never changes, so a
// keyframe is just a reference to one. Must not know the DOM, sockets or time.
import type { FeedEvent, SeatStatus, Snapshot, Thing, TickDelta } from "../feed/wire";
import { filesAfter, filesOf } from "./files";
import type { Files } from "./files";

/** What two seats have done to each other in matrix games, as far as it was seen. `a` < `b`. */
export interface Pair {
  readonly a: number;
  readonly b: number;
  readonly rounds: number;
  readonly sumA: number;
  readonly sumB: number;
  readonly lastA: string;
  readonly lastB: string;
}

export interface World {
  readonly tick: number;
  readonly things: ReadonlyMap<number, Thing>;
  /** Bodies by seat: the thing's id. */
  readonly bodies: ReadonlyMap<number, number>;
  readonly scores: readonly number[];
  readonly seats: readonly SeatStatus[];
  readonly metrics: readonly (number | null)[];
  /** Events of this tick only. */
  readonly events: readonly FeedEvent[];
  readonly pairs: ReadonlyMap<string, Pair>;
  /** First tick from which the pairs are counted; ticks lost to gaps are not in them. */
  readonly pairsFrom: number | null;
  /** Last words of each seat, for speech bubbles. */
  readonly speech: ReadonlyMap<number, FeedEvent>;
  /** Null where the scenario shares no files. */
  readonly files: Files | null;
}

export type Input =
  | { readonly kind: "snapshot"; readonly tick: number; readonly body: Snapshot }
  | { readonly kind: "tick"; readonly tick: number; readonly body: TickDelta }
  | { readonly kind: "status"; readonly seats: readonly (SeatStatus & { readonly seat: number })[] };

export const EMPTY: World = {
  tick: 0, things: new Map(), bodies: new Map(), scores: [], seats: [], metrics: [], events: [],
  pairs: new Map(), pairsFrom: null, speech: new Map(), files: null,
};

export const UNKNOWN_SEAT: SeatStatus = { status: "starting", reason: null };

export function reduce(world: World, input: Input): World {
  switch (input.kind) {
    case "snapshot": return fromSnapshot(world, input.tick, input.body);
    case "tick": return fromTick(world, input.tick, input.body);
    case "status": return fromStatus(world, input.seats);
  }
}

function fromSnapshot(world: World, tick: number, body: Snapshot): World {
  const things = new Map(body.things.map((thing) => [thing.id, thing]));
  const recent = body.recent.filter((event) => event.tick <= tick);
  return {
    tick,
    things,
    bodies: bodiesOf(things),
    scores: body.scores,
    seats: body.status,
    metrics: body.metrics,
    events: recent.filter((event) => event.tick === tick),
    pairs: world.pairs,
    pairsFrom: world.pairsFrom ?? tick,
    speech: spoken(new Map(), recent),
    files: filesOf(body.files),
  };
}

function fromTick(world: World, tick: number, body: TickDelta): World {
  let things = world.things;
  let bodies = world.bodies;
  if (body.upd.length > 0 || body.del.length > 0) {
    const next = new Map(things);
    for (const id of body.del) next.delete(id);
    for (const thing of body.upd) next.set(thing.id, thing);
    const moved = body.upd.some((thing) => thing.seat >= 0 && bodies.get(thing.seat) !== thing.id);
    const lost = body.del.some((id) => (things.get(id)?.seat ?? -1) >= 0);
    things = next;
    if (moved || lost) bodies = bodiesOf(next);
  }
  let scores = world.scores;
  if (body.scores.length > 0) {
    const next = [...scores];
    for (const change of body.scores) if (change.seat < MOST_SEATS) next[change.seat] = change.score;
    scores = Array.from(next, (score) => score ?? 0);
  }
  return {
    tick, things, bodies, scores,
    seats: world.seats,
    metrics: body.metrics ?? world.metrics,
    events: body.events,
    pairs: played(world.pairs, body.events),
    pairsFrom: world.pairsFrom,
    speech: spoken(world.speech, body.events),
    files: filesAfter(world.files, tick, body.files),
  };
}

/** No scenario has more seats; it keeps a broken index from making a huge array. */
const MOST_SEATS = 100_000;

function fromStatus(world: World, changes: readonly (SeatStatus & { readonly seat: number })[]): World {
  if (changes.length === 0) return world;
  const next = [...world.seats];
  for (const { seat, ...status } of changes) if (seat < MOST_SEATS) next[seat] = status;
  return { ...world, seats: Array.from(next, (seat) => seat ?? UNKNOWN_SEAT) };
}

function bodiesOf(things: ReadonlyMap<number, Thing>): Map<number, number> {
  const bodies = new Map<number, number>();
  for (const thing of things.values()) if (thing.seat >= 0) bodies.set(thing.seat, thing.id);
  return bodies;
}

function spoken(before: ReadonlyMap<number, FeedEvent>, events: readonly FeedEvent[]): ReadonlyMap<number, FeedEvent> {
  let next: Map<number, FeedEvent> | null = null;
  for (const event of events) {
    if (event.name !== "speech.said" || event.seat === null || event.text === null) continue;
    next ??= new Map(before);
    next.set(event.seat, event);
  }
  return next ?? before;
}

const finite = (value: unknown): number | null => (typeof value === "number" && Number.isFinite(value) ? value : null);

/** First key of `keys` that holds a finite number; hosts may say a payoff by either of its usual names. */
function amount(data: Readonly<Record<string, unknown>>, keys: readonly string[]): number {
  for (const key of keys) {
    const value = finite(data[key]);
    if (value !== null) return value;
  }
  return 0;
}

function word(data: Readonly<Record<string, unknown>>, keys: readonly string[]): string {
  for (const key of keys) {
    const value = data[key];
    if (typeof value === "string" && value !== "") return value;
  }
  return "";
}

/** Counts matrix.played. One event may speak for both sides or for its own alone (`seat`'s view of `other`). */
function played(before: ReadonlyMap<string, Pair>, events: readonly FeedEvent[]): ReadonlyMap<string, Pair> {
  let next: Map<string, Pair> | null = null;
  const seen = new Set<string>();
  for (const event of events) {
    if (event.name !== "matrix.played" || event.seat === null || event.other === null || event.seat === event.other) continue;
    next ??= new Map(before);
    const a = Math.min(event.seat, event.other);
    const b = Math.max(event.seat, event.other);
    const key = `${a}:${b}`;
    const old = next.get(key) ?? { a, b, rounds: 0, sumA: 0, sumB: 0, lastA: "", lastB: "" };
    const again = seen.has(key);
    seen.add(key);
    const mine = amount(event.data, ["payoff", "score", "reward", "mine_payoff"]);
    const mineWord = word(event.data, ["choice", "mine"]);
    const theirsWord = word(event.data, ["other_choice", "theirs"]);
    const forA = event.seat === a;
    const both = finite(event.data["other_payoff"]) ?? finite(event.data["other_score"]) ?? finite(event.data["theirs_payoff"]);
    // The second event of a pair in one tick is the other side's view: when the first spoke for both, it adds nothing.
    const theirs = again ? 0 : (both ?? 0);
    const addMine = again && both !== null ? 0 : mine;
    next.set(key, {
      a, b,
      rounds: old.rounds + (again ? 0 : 1),
      sumA: old.sumA + (forA ? addMine : theirs),
      sumB: old.sumB + (forA ? theirs : addMine),
      lastA: (forA ? mineWord : theirsWord) || old.lastA,
      lastB: (forA ? theirsWord : mineWord) || old.lastB,
    });
  }
  return next ?? before;
}
