// Where a body is drawn between two ticks. The rule: only ever on the straight line between the cells it stood on at two
// consecutive ticks, and only if they are neighbours; a jump, a torus wrap or a missing tick snaps. No DOM, no time.
import type { Thing } from "../feed/wire";

export interface Place { readonly x: number; readonly y: number }

/** `share` runs from 0 (the earlier tick) to 1 (the later one). */
export function place(before: Thing | undefined, now: Thing, consecutive: boolean, share: number): Place {
  if (!before || !consecutive || share >= 1) return now;
  const dx = now.x - before.x;
  const dy = now.y - before.y;
  if ((dx === 0 && dy === 0) || Math.abs(dx) > 1 || Math.abs(dy) > 1) return now;
  const part = ease(Math.max(0, share));
  return { x: before.x + dx * part, y: before.y + dy * part };
}

/** Slow at both ends; 0 -> 0, 1 -> 1, monotone. */
export function ease(share: number): number {
  return share * share * (3 - 2 * share);
}
