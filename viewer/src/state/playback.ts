// Which tick the picture shows: live, standing still, or playing what was received. Pure rules over a timeline and a
// clock that the caller hands in. Pausing stops the picture only; the world goes on. Must not know the DOM.
import type { Timeline } from "./timeline";
import { EMPTY } from "./reducer";
import type { World } from "./reducer";

export type Mode = "live" | "paused" | "playing";

export interface Shown {
  readonly mode: Mode;
  /** The world of the tick before, if the two are neighbours in time. */
  readonly before: World | null;
  readonly now: World;
  /** Clock value at which `now` became the goal of the picture, and how long the way there takes; ms. */
  readonly since: number;
  readonly takes: number;
}

const SLOWEST_MS = 1_000;
const FASTEST_MS = 16;

export class Playback {
  mode: Mode;
  speed = 1;
  #now: World = EMPTY;
  #before: World | null = null;
  #since = 0;
  #takes = 120;
  #arrival = 0;
  #pace = 125;

  /** `whole`: the timeline holds a run that is over, so its newest tick is the end of a film and not the present. */
  constructor(private readonly timeline: Timeline, private readonly whole = false) {
    this.mode = whole ? "paused" : "live";
  }

  get shown(): Shown {
    return { mode: this.mode, before: this.#before, now: this.#now, since: this.#since, takes: this.#takes };
  }

  /** New input arrived at the head. */
  arrived(clock: number): void {
    const head = this.timeline.head;
    if (this.whole || this.mode !== "live") return;
    if (head.tick !== this.#now.tick) {
      const passed = clock - this.#arrival;
      const ticks = Math.max(1, head.tick - this.#now.tick);
      // A pause in the stream (start, gap, hidden tab) says nothing about its pace.
      if (passed < 3_000) this.#pace += 0.25 * (passed / ticks - this.#pace);
      this.#arrival = clock;
      this.#show(head, clock, Math.min(SLOWEST_MS, Math.max(FASTEST_MS, this.#pace)));
    } else this.#now = head;
  }

  /** Moves a replay on; true if the shown tick changed. */
  advance(clock: number): boolean {
    if (this.mode !== "playing") return false;
    let moved = false;
    const takes = this.#interval();
    while (clock - this.#since >= takes) {
      const next = this.timeline.next(this.#now.tick);
      if (next === null) {
        if (this.whole) this.pause();
        else this.live(clock);
        return true;
      }
      // After a hidden tab, go on from here instead of rushing after the lost time.
      const since = clock - this.#since > 8 * takes ? clock : this.#since + takes;
      this.#show(this.timeline.at(next), since, takes);
      moved = true;
    }
    return moved;
  }

  pause(): void {
    this.mode = "paused";
  }

  play(clock: number): void {
    if (this.timeline.next(this.#now.tick) === null) {
      if (!this.whole) return this.live(clock);
      this.seek(this.timeline.first, clock);
    }
    this.mode = "playing";
    this.#since = clock;
    this.#before = null;
  }

  toggle(clock: number): void {
    if (this.mode === "paused") this.play(clock);
    else this.pause();
  }

  live(clock: number): void {
    this.mode = this.whole ? "paused" : "live";
    this.#arrival = clock;
    this.#show(this.timeline.head, clock, Math.max(FASTEST_MS, this.#pace));
  }

  /** Shows the received tick at or before `tick`, and stands still there (or goes on playing from there). */
  seek(tick: number, clock: number): void {
    if (this.mode === "live") this.mode = "paused";
    const wanted = Math.min(this.timeline.last, Math.max(this.timeline.first, Math.round(tick)));
    this.#before = null;
    this.#now = this.timeline.at(wanted);
    this.#since = clock;
  }

  /** One received tick forward or back, standing still; a step forward is drawn as a move. */
  step(by: 1 | -1, clock: number): void {
    this.mode = "paused";
    const target = by > 0 ? this.timeline.next(this.#now.tick) : this.timeline.previous(this.#now.tick);
    if (target === null) return;
    if (by > 0) this.#show(this.timeline.at(target), clock, 140);
    else {
      this.#before = null;
      this.#now = this.timeline.at(target);
      this.#since = clock;
    }
  }

  reset(): void {
    this.mode = this.whole ? "paused" : "live";
    this.#now = EMPTY;
    this.#before = null;
  }

  #interval(): number {
    return Math.max(FASTEST_MS, Math.min(SLOWEST_MS, Math.max(60, this.#pace)) / this.speed);
  }

  #show(world: World, since: number, takes: number): void {
    this.#before = world.tick === this.#now.tick + 1 ? this.#now : null;
    this.#now = world;
    this.#since = since;
    this.#takes = takes;
  }
}
