// The Canvas2D renderer: terrain kept as a picture of its own, then things, beams, bodies and speech over it. Knows the
// scene it is handed and nothing of feeds or the page around it.
import type { Static, Thing } from "../feed/wire";
import { place } from "../state/interpolate";
import type { World } from "../state/reducer";
import { drawBody, drawName } from "./body";
import { drawBubbles } from "./bubble";
import type { Bubble } from "./bubble";
import { toPoint } from "./camera";
import type { Camera, View } from "./camera";
import { kindColour, seatMark } from "./palette";
import type { SeatMark } from "./palette";
import type { Renderer, Scene } from "./renderer";
import { drawTerrain } from "./terrain";
import { readTheme } from "./theme";
import type { MapTheme } from "./theme";

/** Words stay over a head this many ticks. */
export const BUBBLE_TICKS = 24;
const MOST_BUBBLES = 5;
const FLASH_MS = 520;

interface Placed { readonly thing: Thing; readonly px: number; readonly py: number }

export class Canvas2DRenderer implements Renderer {
  readonly #pen: CanvasRenderingContext2D;
  #theme: MapTheme;
  #fixed: Static | null = null;
  #marks: SeatMark[] = [];
  #view: View = { width: 1, height: 1 };
  #ratio = 1;
  #ground: HTMLCanvasElement = document.createElement("canvas");
  #groundFor = "";
  #placed: Placed[] = [];
  #camera: Camera = { x: 0, y: 0, cell: 1 };

  constructor(private readonly canvas: HTMLCanvasElement) {
    const pen = canvas.getContext("2d");
    if (!pen) throw new Error("this browser has no Canvas2D");
    this.#pen = pen;
    this.#theme = readTheme(canvas);
  }

  prepare(fixed: Static): void {
    this.#fixed = fixed;
    this.#marks = fixed.seats.map((seat, index) => seatMark(index, seat.name));
    this.#groundFor = "";
  }

  theme(): void {
    this.#theme = readTheme(this.canvas);
    this.#groundFor = "";
  }

  resize(view: View, pixelRatio: number): void {
    this.#view = view;
    this.#ratio = pixelRatio;
    for (const canvas of [this.canvas, this.#ground]) {
      canvas.width = Math.max(1, Math.round(view.width * pixelRatio));
      canvas.height = Math.max(1, Math.round(view.height * pixelRatio));
    }
    this.#groundFor = "";
  }

  pick(px: number, py: number): number | null {
    const reach = Math.max(10, this.#camera.cell * 0.6);
    let best: number | null = null;
    let nearest = reach * reach;
    for (const { thing, px: x, py: y } of this.#placed) {
      const distance = (x - px) ** 2 + (y - py) ** 2;
      if (distance <= nearest) {
        nearest = distance;
        best = thing.seat;
      }
    }
    return best;
  }

  draw(scene: Scene): void {
    const fixed = this.#fixed;
    const pen = this.#pen;
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.clearRect(0, 0, this.canvas.width, this.canvas.height);
    if (!fixed?.space) return;
    this.#camera = scene.camera;
    this.#drawGround(fixed, scene.camera);
    pen.drawImage(this.#ground, 0, 0);
    pen.setTransform(this.#ratio, 0, 0, this.#ratio, 0, 0);
    this.#drawThings(scene, fixed);
    this.#placed = this.#placeBodies(scene);
    this.#drawBeams(scene);
    this.#drawBodies(scene);
    this.#drawSpeech(scene, fixed);
  }

  #drawGround(fixed: Static, camera: Camera): void {
    const key = `${camera.x}|${camera.y}|${camera.cell}`;
    if (key === this.#groundFor) return;
    this.#groundFor = key;
    const pen = this.#ground.getContext("2d");
    if (!pen) return;
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.clearRect(0, 0, this.#ground.width, this.#ground.height);
    pen.setTransform(this.#ratio, 0, 0, this.#ratio, 0, 0);
    drawTerrain(pen, fixed, camera, this.#view, this.#theme);
  }

  #drawThings(scene: Scene, fixed: Static): void {
    const { camera, now, before, share } = scene;
    const pen = this.#pen;
    const cell = camera.cell;
    // By kind, so that each colour is set once.
    const byKind = new Map<number, { thing: Thing; size: number }[]>();
    const put = (thing: Thing, size: number): void => {
      const at = byKind.get(thing.kind);
      if (at) at.push({ thing, size });
      else byKind.set(thing.kind, [{ thing, size }]);
    };
    const moving = before !== null && share < 1 && !scene.still;
    for (const thing of now.things.values()) {
      if (thing.seat >= 0) continue;
      put(thing, moving && !before.things.has(thing.id) ? 0.3 + 0.7 * share : 1);
    }
    if (moving) {
      for (const thing of before.things.values()) {
        if (thing.seat < 0 && !now.things.has(thing.id)) put(thing, 1 - share);
      }
    }
    for (const [kind, things] of byKind) {
      const info = fixed.kinds[kind];
      const colour = kindColour(info?.colour ?? "", this.#theme.thing);
      const solid = info?.solid === true;
      pen.fillStyle = colour;
      if (cell < 7) {
        const side = Math.max(1, cell * 0.7);
        for (const { thing } of things) {
          const at = toPoint(camera, this.#view, thing.x + 0.5, thing.y + 0.5);
          pen.fillRect(at.x - side / 2, at.y - side / 2, side, side);
        }
        continue;
      }
      pen.beginPath();
      for (const { thing, size } of things) {
        const at = toPoint(camera, this.#view, thing.x + 0.5, thing.y + 0.5);
        const r = cell * 0.25 * size;
        if (solid) pen.roundRect(at.x - r * 1.4, at.y - r * 1.4, r * 2.8, r * 2.8, r * 0.4);
        else {
          pen.moveTo(at.x + r, at.y);
          pen.arc(at.x, at.y, r, 0, Math.PI * 2);
        }
      }
      pen.fill();
      if (cell < 13 || solid) continue;
      pen.fillStyle = this.#theme.shine;
      pen.beginPath();
      for (const { thing, size } of things) {
        const at = toPoint(camera, this.#view, thing.x + 0.5, thing.y + 0.5);
        const r = cell * 0.25 * size;
        pen.moveTo(at.x - r * 0.05, at.y - r * 0.35);
        pen.arc(at.x - r * 0.33, at.y - r * 0.35, r * 0.28, 0, Math.PI * 2);
      }
      pen.fill();
    }
  }

  #placeBodies(scene: Scene): Placed[] {
    const { now, before, camera } = scene;
    const share = scene.still ? 1 : scene.share;
    const placed: Placed[] = [];
    for (const id of now.bodies.values()) {
      const thing = now.things.get(id);
      if (!thing) continue;
      const at = place(before?.things.get(id), thing, before !== null && now.tick === before.tick + 1, share);
      const point = toPoint(camera, this.#view, at.x + 0.5, at.y + 0.5);
      placed.push({ thing, px: point.x, py: point.y });
    }
    return placed;
  }

  #drawBodies(scene: Scene): void {
    const raised = (seat: number): boolean => seat === scene.selected || seat === scene.hovered;
    const order = [...this.#placed].sort((a, b) => Number(raised(a.thing.seat)) - Number(raised(b.thing.seat)) || a.py - b.py);
    for (const { thing, px, py } of order) {
      const mark = this.#marks[thing.seat];
      if (!mark) continue;
      const status = scene.now.seats[thing.seat]?.status ?? "playing";
      drawBody(this.#pen, { px, py, cell: scene.camera.cell, thing, mark, status, selected: thing.seat === scene.selected }, this.#theme);
    }
    for (const { thing, px, py } of this.#placed) {
      if (raised(thing.seat)) drawName(this.#pen, this.#fixed?.seats[thing.seat]?.name ?? "", px, py, scene.camera.cell, this.#theme);
    }
  }

  #drawBeams(scene: Scene): void {
    const fade = scene.still ? (scene.sinceMs < FLASH_MS ? 1 : 0.45) : Math.max(0.25, 1 - scene.sinceMs / FLASH_MS);
    const pen = this.#pen;
    for (const event of scene.now.events) {
      if (event.name !== "sanction.hit" || event.seat === null) continue;
      const from = this.#pointOf(event.seat, scene);
      const to = event.at ? toPoint(scene.camera, this.#view, event.at[0] + 0.5, event.at[1] + 0.5) : event.other === null ? null : this.#pointOf(event.other, scene);
      if (!from || !to) continue;
      pen.save();
      pen.lineCap = "round";
      pen.globalAlpha = 0.35 * fade;
      pen.strokeStyle = this.#theme.beam;
      pen.lineWidth = scene.camera.cell * 0.5;
      pen.beginPath();
      pen.moveTo(from.x, from.y);
      pen.lineTo(to.x, to.y);
      pen.stroke();
      pen.globalAlpha = fade;
      pen.lineWidth = Math.max(1.5, scene.camera.cell * 0.12);
      pen.stroke();
      pen.globalAlpha = 0.8 * fade;
      pen.beginPath();
      pen.arc(to.x, to.y, scene.camera.cell * (0.45 + 0.35 * (1 - fade)), 0, Math.PI * 2);
      pen.stroke();
      pen.restore();
    }
  }

  #pointOf(seat: number, scene: Scene): { x: number; y: number } | null {
    const found = this.#placed.find((body) => body.thing.seat === seat);
    if (found) return { x: found.px, y: found.py };
    const id = scene.now.bodies.get(seat);
    const thing = id === undefined ? undefined : scene.now.things.get(id);
    return thing ? toPoint(scene.camera, this.#view, thing.x + 0.5, thing.y + 0.5) : null;
  }

  #drawSpeech(scene: Scene, fixed: Static): void {
    const bubbles: Bubble[] = [];
    for (const [seat, event] of recentSpeech(scene.now).slice(this.#view.width < 520 ? -2 : -MOST_BUBBLES)) {
      const at = this.#pointOf(seat, scene);
      if (!at) continue;
      const age = scene.now.tick - event.tick;
      const how = event.data["how"];
      const to = event.other ?? (typeof event.data["to"] === "number" ? event.data["to"] : null);
      bubbles.push({
        px: at.x,
        py: at.y - scene.camera.cell * 0.55,
        foot: at.y + scene.camera.cell * 0.55,
        text: how === "whisper" && to !== null ? `to ${fixed.seats[to]?.name ?? "somebody"}: ${event.text ?? ""}` : (event.text ?? ""),
        whispered: how === "whisper",
        alpha: age > BUBBLE_TICKS - 4 ? (BUBBLE_TICKS - age + 1) / 5 : 1,
        colour: this.#marks[seat]?.fill ?? this.#theme.ink,
      });
    }
    drawBubbles(this.#pen, bubbles, this.#view, this.#theme);
  }
}

/** The newest words that are still in the air, newest last. */
export function recentSpeech(world: World): [number, World["events"][number]][] {
  return [...world.speech].filter(([, event]) => world.tick - event.tick < BUBBLE_TICKS && event.tick <= world.tick).sort((a, b) => a[1].tick - b[1].tick);
}
