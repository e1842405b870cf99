// The map on screen: canvas, camera, pointer, and one drawing loop that rests while nothing moves.
import { useEffect, useRef } from "preact/hooks";
import { Canvas2DRenderer } from "../map/canvas2d";
import { fit, hold, zoomAt } from "../map/camera";
import type { Camera, View } from "../map/camera";
import type { Renderer } from "../map/renderer";
import type { Static } from "../feed/wire";
import type { Store } from "../state/store";
import { takeView, view as handle } from "./view";

const MARGIN = 14;
/** Pictures go on this long after a tick was reached, so that flashes can fade. */
const AFTERGLOW_MS = 700;
const CLICK_SLOP = 5;

export function Stage({ store, fixed }: { store: Store; fixed: Static }) {
  const canvasRef = useRef<HTMLCanvasElement>(null);
  const space = fixed.space!;

  useEffect(() => {
    const canvas = canvasRef.current!;
    const renderer: Renderer = new Canvas2DRenderer(canvas);
    renderer.prepare(fixed);
    let size: View = { width: 1, height: 1 };
    let camera: Camera = { x: space.width / 2, y: space.height / 2, cell: 10 };
    let fitted = true;
    let hovered: number | null = null;
    let stale = true;
    let wanted = 0;
    const calm = window.matchMedia("(prefers-reduced-motion: reduce)");
    const dark = window.matchMedia("(prefers-color-scheme: dark)");

    const refit = (): void => {
      camera = fit(space, size, MARGIN);
      fitted = true;
      stale = true;
    };
    const look = (next: Camera): void => {
      camera = hold(next, space);
      fitted = false;
      stale = true;
    };
    takeView({
      zoom: (factor) => look(zoomAt(camera, size, size.width / 2, size.height / 2, factor)),
      pan: (dx, dy) => look({ ...camera, x: camera.x + (dx * 80) / camera.cell, y: camera.y + (dy * 80) / camera.cell }),
      fit: refit,
    });

    const watch = new ResizeObserver(() => {
      const box = canvas.getBoundingClientRect();
      size = { width: Math.max(1, box.width), height: Math.max(1, box.height) };
      renderer.resize(size, Math.min(3, window.devicePixelRatio || 1));
      if (fitted) refit();
      stale = true;
    });
    watch.observe(canvas);
    const onTheme = (): void => {
      renderer.theme();
      stale = true;
    };
    dark.addEventListener("change", onTheme);
    const unsubscribe = store.selected.subscribe(() => { stale = true; });

    let drawn: unknown = null;
    const beat = (): void => {
      wanted = requestAnimationFrame(beat);
      const shown = store.playback.shown;
      const passed = performance.now() - shown.since;
      const moving = passed < shown.takes + AFTERGLOW_MS;
      if (!moving && !stale && drawn === shown.now) return;
      stale = false;
      drawn = shown.now;
      renderer.draw({
        before: shown.before, now: shown.now,
        share: Math.min(1, Math.max(0, passed / shown.takes)),
        sinceMs: Math.max(0, passed - shown.takes * 0.5),
        camera, selected: store.selected.value, hovered, still: calm.matches,
      });
    };
    beat();

    // One finger or button pans, two fingers zoom, a press without a move selects.
    const touches = new Map<number, { x: number; y: number }>();
    let travelled = 0;
    const point = (event: PointerEvent | WheelEvent): { x: number; y: number } => {
      const box = canvas.getBoundingClientRect();
      return { x: event.clientX - box.left, y: event.clientY - box.top };
    };
    const onDown = (event: PointerEvent): void => {
      if (touches.size === 0) travelled = 0;
      touches.set(event.pointerId, point(event));
      canvas.setPointerCapture(event.pointerId);
    };
    const onMove = (event: PointerEvent): void => {
      const at = point(event);
      const from = touches.get(event.pointerId);
      if (!from) {
        const over = renderer.pick(at.x, at.y);
        if (over !== hovered) {
          hovered = over;
          stale = true;
          canvas.style.cursor = over === null ? "" : "pointer";
        }
        return;
      }
      travelled += Math.hypot(at.x - from.x, at.y - from.y);
      if (touches.size === 2) {
        const other = [...touches].find(([id]) => id !== event.pointerId)![1];
        const before = Math.hypot(from.x - other.x, from.y - other.y);
        const after = Math.hypot(at.x - other.x, at.y - other.y);
        if (before > 0) look(zoomAt(camera, size, (at.x + other.x) / 2, (at.y + other.y) / 2, after / before));
      } else if (travelled > CLICK_SLOP) look({ ...camera, x: camera.x - (at.x - from.x) / camera.cell, y: camera.y - (at.y - from.y) / camera.cell });
      touches.set(event.pointerId, at);
    };
    const onUp = (event: PointerEvent): void => {
      const at = touches.get(event.pointerId);
      touches.delete(event.pointerId);
      if (event.type === "pointerup" && at && touches.size === 0 && travelled <= CLICK_SLOP) {
        const seat = renderer.pick(at.x, at.y);
        if (seat !== null) store.select(seat);
        else store.selected.value = null;
      }
    };
    const onLeave = (): void => {
      if (hovered !== null) stale = true;
      hovered = null;
    };
    const onWheel = (event: WheelEvent): void => {
      event.preventDefault();
      const at = point(event);
      look(zoomAt(camera, size, at.x, at.y, Math.exp(-event.deltaY * (event.deltaMode === 1 ? 0.05 : 0.0015))));
    };
    canvas.addEventListener("pointerdown", onDown);
    canvas.addEventListener("pointermove", onMove);
    canvas.addEventListener("pointerup", onUp);
    canvas.addEventListener("pointercancel", onUp);
    canvas.addEventListener("pointerleave", onLeave);
    canvas.addEventListener("wheel", onWheel, { passive: false });
    return () => {
      cancelAnimationFrame(wanted);
      watch.disconnect();
      dark.removeEventListener("change", onTheme);
      unsubscribe();
      takeView(null);
      canvas.removeEventListener("pointerdown", onDown);
      canvas.removeEventListener("pointermove", onMove);
      canvas.removeEventListener("pointerup", onUp);
      canvas.removeEventListener("pointercancel", onUp);
      canvas.removeEventListener("pointerleave", onLeave);
      canvas.removeEventListener("wheel", onWheel);
    };
  }, [fixed]);

  const waiting = store.phase.value === "starting";
  const ready = store.head.value.seats.filter((seat) => seat.status !== "starting").length;
  return (
    <div class="stage" style={{ "--ratio": `${space.width} / ${space.height}` }}>
      <canvas ref={canvasRef} data-testid="map" role="img" aria-label={`Map of ${space.width} by ${space.height} cells. The agents and their places stand in the list beside it.`} />
      {waiting && <p class="veil" data-testid="waiting">Waiting for the agents: <span class="num">{ready} of {fixed.seats.length}</span> ready</p>}
      <div class="zoom">
        <button type="button" class="icon" title="Zoom in (+)" aria-label="Zoom in" onClick={() => handle.zoom(1.25)}>+</button>
        <button type="button" class="icon" title="Zoom out (−)" aria-label="Zoom out" onClick={() => handle.zoom(0.8)}>−</button>
        <button type="button" class="icon" title="Whole map (0)" aria-label="Show the whole map" onClick={() => handle.fit()}>
          <svg width="14" height="14" viewBox="0 0 14 14" aria-hidden="true"><path d="M1 5V1h4M9 1h4v4M13 9v4H9M5 13H1V9" fill="none" stroke="currentColor" stroke-width="1.600" stroke-linecap="round" stroke-linejoin="round" /></svg>
        </button>
      </div>
    </div>
  );
}
