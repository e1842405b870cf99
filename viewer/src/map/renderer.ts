// What a map renderer must do, so that another (sprites, WebGL) can take the place of Canvas2D. Shapes only.
import type { Static } from "../feed/wire";
import type { World } from "../state/reducer";
import type { Camera, View } from "./camera";

/** One picture to draw. */
export interface Scene {
  readonly before: World | null;
  readonly now: World;
  /** 0 at the earlier tick, 1 at the later one and after it. */
  readonly share: number;
  /** Time since `now` was reached, in ms; for flashes. */
  readonly sinceMs: number;
  readonly camera: Camera;
  readonly selected: number | null;
  readonly hovered: number | null;
  /** True where the person asked for less motion. */
  readonly still: boolean;
}

export interface Renderer {
  /** The map and who is on it; called once a run. */
  prepare(fixed: Static): void;
  /** Colours changed between light and dark. */
  theme(): void;
  resize(view: View, pixelRatio: number): void;
  draw(scene: Scene): void;
  /** Seat whose body is at a picture point, in the scene last drawn. */
  pick(px: number, py: number): number | null;
}
