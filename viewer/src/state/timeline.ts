// What has been received, kept for scrubbing: segments of a world and the inputs after it. Bounded in ticks and bytes;
// the oldest segment goes first. Must not know the DOM or time. The law: at(t) equals reducing every input up to tick t.
import { EMPTY, reduce } from "./reducer";
import type { Input, World } from "./reducer";

interface Entry { readonly tick: number; readonly input: Input }
interface Segment { readonly base: World; readonly entries: Entry[]; bytes: number; ticks: number }

export interface Limits { readonly ticks: number; readonly bytes: number; readonly segment: number }
export const LIMITS: Limits = { ticks: 5_000, bytes: 48 * 1024 * 1024, segment: 64 };

export class Timeline {
  #segments: Segment[] = [];
  #head: World = EMPTY;
  #began = false;
  #ticks = 0;
  #bytes = 0;
  #gaps: [number, number][] = [];
  #cache: World | null = null;

  constructor(private readonly limits: Limits = LIMITS) {}

  get head(): World { return this.#head; }
  get began(): boolean { return this.#began; }
  /** Oldest tick that can be shown: that of the oldest segment's base. */
  get first(): number { return this.#segments[0]?.base.tick ?? this.#head.tick; }
  get last(): number { return this.#head.tick; }
  /** Missing stretches, both ends missing. */
  get gaps(): readonly (readonly [number, number])[] { return this.#gaps; }
  get size(): { readonly ticks: number; readonly bytes: number } { return { ticks: this.#ticks, bytes: this.#bytes }; }

  /** Takes one input; `bytes` is what it weighed on the wire. */
  push(input: Input, bytes = 0): World {
    if (input.kind === "status" && !this.#began) {
      this.#head = reduce(this.#head, input);
      return this.#head;
    }
    if (input.kind === "snapshot") {
      if (this.#began && input.tick > this.#head.tick + 1) this.#gaps.push([this.#head.tick + 1, input.tick - 1]);
      if (this.#began && input.tick < this.#head.tick) this.#dropAfter(input.tick);
      this.#head = reduce(this.#head, input);
      this.#segments.push({ base: this.#head, entries: [], bytes, ticks: 1 });
      this.#ticks += 1;
      this.#bytes += bytes;
      this.#began = true;
      this.#evict();
      return this.#head;
    }
    let segment = this.#segments.at(-1);
    if (!segment) return this.#head;
    if (segment.ticks >= this.limits.segment && input.kind === "tick") {
      segment = { base: this.#head, entries: [], bytes: 0, ticks: 0 };
      this.#segments.push(segment);
    }
    this.#head = reduce(this.#head, input);
    segment.entries.push({ tick: this.#head.tick, input });
    segment.bytes += bytes;
    this.#bytes += bytes;
    if (input.kind === "tick") {
      segment.ticks += 1;
      this.#ticks += 1;
    }
    this.#evict();
    return this.#head;
  }

  /** The world at the newest received tick that is not after `tick`; the oldest kept one if all are after it. */
  at(tick: number): World {
    if (tick >= this.#head.tick || !this.#began) return this.#head;
    if (this.#cache && this.#cache.tick === tick) return this.#cache;
    let low = 0;
    let high = this.#segments.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.#segments[middle]!.base.tick <= tick) low = middle;
      else high = middle - 1;
    }
    const segment = this.#segments[low]!;
    let world = segment.base;
    for (const entry of segment.entries) {
      if (entry.tick > tick) break;
      world = reduce(world, entry.input);
    }
    this.#cache = world;
    return world;
  }

  /** The next received tick after `tick`, or null at the head. */
  next(tick: number): number | null {
    if (tick >= this.#head.tick) return null;
    for (const [from, to] of this.#gaps) if (tick + 1 >= from && tick + 1 <= to) return to + 1;
    return Math.max(tick + 1, this.first);
  }

  /** The received tick before `tick`, or null at the oldest kept one. */
  previous(tick: number): number | null {
    if (tick <= this.first) return null;
    for (const [from, to] of this.#gaps) if (tick - 1 >= from && tick - 1 <= to) return Math.max(from - 1, this.first);
    return tick - 1;
  }

  clear(): void {
    this.#segments = [];
    this.#head = EMPTY;
    this.#began = false;
    this.#ticks = 0;
    this.#bytes = 0;
    this.#gaps = [];
    this.#cache = null;
  }

  #evict(): void {
    while (this.#segments.length > 1 && (this.#ticks > this.limits.ticks || this.#bytes > this.limits.bytes)) {
      const old = this.#segments.shift()!;
      this.#ticks -= old.ticks;
      this.#bytes -= old.bytes;
    }
    const first = this.first;
    while (this.#gaps[0] && this.#gaps[0][1] < first) this.#gaps.shift();
    if (this.#cache && this.#cache.tick < first) this.#cache = null;
  }

  /** The host went back: what was received after `tick` is no longer true. */
  #dropAfter(tick: number): void {
    while (this.#segments.length > 0 && this.#segments.at(-1)!.base.tick >= tick) this.#forget(this.#segments.pop()!);
    const segment = this.#segments.at(-1);
    if (segment) {
      const keep = segment.entries.filter((entry) => entry.tick < tick);
      const lost = segment.entries.filter((entry) => entry.tick >= tick && entry.input.kind === "tick").length;
      segment.entries.splice(0, segment.entries.length, ...keep);
      segment.ticks -= lost;
      this.#ticks -= lost;
    }
    this.#head = segment ? segment.entries.reduce((world, entry) => reduce(world, entry.input), segment.base) : EMPTY;
    this.#gaps = this.#gaps.filter(([, to]) => to < tick);
    this.#cache = null;
  }

  #forget(segment: Segment): void {
    this.#ticks -= segment.ticks;
    this.#bytes -= segment.bytes;
  }
}
