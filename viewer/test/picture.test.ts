// What is drawn between ticks, what the playback shows, and what the timeline reads like.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { wrap } from "../src/map/bubble";
import { fit, toCell, toPoint, zoomAt } from "../src/map/camera";
import { seatMark } from "../src/map/palette";
import type { FeedEvent, Thing } from "../src/feed/wire";
import { place } from "../src/state/interpolate";
import { Log } from "../src/state/log";
import { Playback } from "../src/state/playback";
import type { Input } from "../src/state/reducer";
import { Series } from "../src/state/series";
import { Timeline } from "../src/state/timeline";
import { fold } from "../src/ui/timeline";

const at = (x: number, y: number): Thing => ({ id: 1, kind: 0, x, y, seat: 0, face: 0, flags: 0 });
const cell = fc.integer({ min: 0, max: 40 });

describe("a body between ticks", () => {
  test("is only ever on the line between two neighbouring cells it stood on", () => {
    fc.assert(fc.property(cell, cell, cell, cell, fc.boolean(), fc.double({ min: -1, max: 2, noNaN: true }), (x0, y0, x1, y1, consecutive, share) => {
      const shown = place(at(x0, y0), at(x1, y1), consecutive, share);
      const near = Math.abs(x1 - x0) <= 1 && Math.abs(y1 - y0) <= 1;
      if (!consecutive || !near) expect(shown).toMatchObject({ x: x1, y: y1 });
      else {
        expect(shown.x).toBeGreaterThanOrEqual(Math.min(x0, x1));
        expect(shown.x).toBeLessThanOrEqual(Math.max(x0, x1));
        const dx = x1 - x0;
        const dy = y1 - y0;
        expect((shown.x - x0) * dy).toBeCloseTo((shown.y - y0) * dx);
      }
    }));
  });
  test("starts where it was and ends where it is", () => {
    expect(place(at(2, 2), at(3, 2), true, 0)).toMatchObject({ x: 2, y: 2 });
    expect(place(at(2, 2), at(3, 2), true, 0.5)).toMatchObject({ x: 2.5, y: 2 });
    expect(place(at(2, 2), at(3, 2), true, 1)).toMatchObject({ x: 3, y: 2 });
  });
  test("snaps over the edge of a torus and when it is new", () => {
    expect(place(at(29, 4), at(0, 4), true, 0.5)).toMatchObject({ x: 0, y: 4 });
    expect(place(undefined, at(5, 5), true, 0.2)).toMatchObject({ x: 5, y: 5 });
  });
});

describe("playback", () => {
  const tick = (number: number): Input => ({ kind: "tick", tick: number, body: { upd: [], del: [], scores: [], metrics: null, events: [], files: null } });
  function running(): { timeline: Timeline; playback: Playback; arrive: (number: number, clock: number) => void } {
    const timeline = new Timeline();
    const playback = new Playback(timeline);
    timeline.push({ kind: "snapshot", tick: 0, body: { things: [], scores: [], status: [], metrics: [], history: { ticks: [], values: [] }, recent: [], files: null } });
    const arrive = (number: number, clock: number): void => {
      timeline.push(tick(number));
      playback.arrived(clock);
    };
    for (let number = 1; number <= 20; number++) arrive(number, number * 100);
    return { timeline, playback, arrive };
  }

  test("follows the head while live, and stands still while paused though the world goes on", () => {
    const { timeline, playback, arrive } = running();
    expect(playback.shown.now.tick).toBe(20);
    playback.pause();
    arrive(21, 2_100);
    expect(playback.shown.now.tick).toBe(20);
    expect(timeline.last).toBe(21);
    playback.live(2_150);
    expect(playback.shown).toMatchObject({ mode: "live", now: { tick: 21 } });
  });

  test("plays what was received tick by tick, then goes live", () => {
    const { playback } = running();
    playback.seek(5, 3_000);
    expect(playback.shown).toMatchObject({ mode: "paused", now: { tick: 5 } });
    playback.play(3_000);
    const seen: number[] = [];
    for (let clock = 3_000; playback.mode === "playing"; clock += 10) if (playback.advance(clock)) seen.push(playback.shown.now.tick);
    expect(seen.slice(0, 3)).toEqual([6, 7, 8]);
    expect(new Set(seen).size).toBe(seen.length - 1);
    expect(playback.shown).toMatchObject({ mode: "live", now: { tick: 20 } });
  });

  test("steps and bounds", () => {
    const { playback } = running();
    playback.step(-1, 0);
    expect(playback.shown).toMatchObject({ mode: "paused", now: { tick: 19 }, before: null });
    playback.step(1, 0);
    expect(playback.shown).toMatchObject({ now: { tick: 20 }, before: { tick: 19 } });
    playback.step(1, 0);
    expect(playback.shown.now.tick).toBe(20);
    playback.seek(-5, 0);
    expect(playback.shown.now.tick).toBe(0);
    playback.seek(1e9, 0);
    expect(playback.shown.now.tick).toBe(20);
  });
});

describe("timeline lines", () => {
  const said = (tick: number, seat: number, text: string, name = "speech.said"): FeedEvent => ({ tick, name, seat, other: null, at: null, text, data: {} });

  test("a snapshot's recent events are not told twice", () => {
    const log = new Log();
    log.push(5, [said(4, 0, "a"), said(5, 0, "b")]);
    log.push(6, [said(6, 0, "c")]);
    log.catchUp(8, [said(5, 0, "b"), said(6, 0, "c"), said(8, 1, "d")]);
    const lines = log.upTo(8, new Set(["messages"]), null, 100).map((line) => line.event.text);
    expect(lines).toEqual(["a", "b", "c", "d"]);
    expect(log.upTo(5, new Set(["messages"]), null, 100)).toHaveLength(2);
    expect(log.upTo(8, new Set(["messages"]), 1, 100)).toHaveLength(1);
  });

  test("what happened between two ticks is not lost, though it bears the earlier one", () => {
    const log = new Log();
    log.push(5, [said(5, 0, "a")]);
    log.push(6, [said(5, 1, "late", "seat.late"), said(6, 0, "b")]);
    expect(log.upTo(6, new Set(["messages", "trouble"]), null, 100).map((line) => line.event.text)).toEqual(["a", "late", "b"]);
  });

  test("stay bounded", () => {
    const log = new Log();
    for (let tick = 0; tick < 10_000; tick++) log.push(tick, [said(tick, 0, "x")]);
    expect(log.upTo(1e9, new Set(["messages"]), null, 1e9).length).toBeLessThanOrEqual(1_800);
  });

  test("word-for-word repeats become one line with a count, newest last", () => {
    const log = new Log();
    log.push(1, [said(1, 0, "go", "agent.thought"), said(1, 1, "go", "agent.thought")]);
    log.push(2, [said(2, 1, "stay", "agent.thought")]);
    log.push(3, [said(3, 0, "go", "agent.thought")]);
    const rows = fold(log.upTo(3, new Set(["thoughts"]), null, 100));
    expect(rows.map((row) => [row.line.event.seat, row.line.event.text, row.times, row.until])).toEqual([[1, "go", 1, 1], [1, "stay", 1, 2], [0, "go", 2, 3]]);
  });
});

describe("small parts", () => {
  test("series stay bounded, ordered and rectangular", () => {
    const series = new Series();
    for (let tick = 0; tick < 30_000; tick++) series.push(tick, [tick, null]);
    series.push(5, [1, 1]);
    expect(series.ticks.length).toBeLessThanOrEqual(4_000);
    expect(series.ticks.every((tick, index) => index === 0 || tick > series.ticks[index - 1]!)).toBe(true);
    expect(series.values.map((column) => column.length)).toEqual([series.ticks.length, series.ticks.length]);
  });

  test("zooming keeps the cell under the pointer", () => {
    const view = { width: 800, height: 500 };
    const camera = fit({ width: 30, height: 20 }, view, 10);
    expect(toPoint(camera, view, 0, 0).x).toBeGreaterThanOrEqual(10);
    const before = toCell(camera, view, 200, 120);
    const after = toCell(zoomAt(camera, view, 200, 120, 1.7), view, 200, 120);
    expect(after.x).toBeCloseTo(before.x);
    expect(after.y).toBeCloseTo(before.y);
  });

  test("the first 40 seats differ in colour or shape", () => {
    const marks = Array.from({ length: 40 }, (_, seat) => seatMark(seat, `harvester-${seat + 1}`));
    expect(new Set(marks.map((mark) => mark.fill + mark.shape)).size).toBe(40);
    expect(marks[11]!.label).toBe("12");
  });

  test("long words and long speeches fit their bubble", () => {
    fc.assert(fc.property(fc.string({ maxLength: 600 }), (text) => {
      const lines = wrap(text, 20, (line) => line.length);
      expect(lines.length).toBeLessThanOrEqual(3);
      for (const line of lines) expect(line.length).toBeLessThanOrEqual(20);
    }));
  });
});
