// What never moves: floor, walls, water and other ground, drawn calmly so that the living things stand out.
import type { Kind, Static } from "../feed/wire";
import { toCell, toPoint } from "./camera";
import type { Camera, View } from "./camera";
import { kindColour } from "./palette";
import type { MapTheme } from "./theme";

type Ground = "wall" | "water" | "soft";

/** Solid and opaque is a wall, solid and clear is water or glass, the rest is soft ground in its own colour. */
export function groundOf(kind: Kind): Ground {
  if (kind.solid && kind.opaque) return "wall";
  return kind.solid ? "water" : "soft";
}

export function drawTerrain(pen: CanvasRenderingContext2D, fixed: Static, camera: Camera, view: View, theme: MapTheme): void {
  const space = fixed.space;
  if (!space) return;
  const cell = camera.cell;
  const corner = toPoint(camera, view, 0, 0);
  const width = space.width * cell;
  const height = space.height * cell;

  pen.save();
  pen.beginPath();
  pen.roundRect(corner.x, corner.y, width, height, Math.min(12, cell * 0.5));
  pen.fillStyle = theme.floor;
  pen.fill();
  pen.clip();

  const from = toCell(camera, view, 0, 0);
  const to = toCell(camera, view, view.width, view.height);
  const x0 = Math.max(0, Math.floor(from.x));
  const y0 = Math.max(0, Math.floor(from.y));
  const x1 = Math.min(space.width - 1, Math.floor(to.x));
  const y1 = Math.min(space.height - 1, Math.floor(to.y));

  if (cell >= 8) {
    pen.fillStyle = theme.floorOdd;
    pen.beginPath();
    for (let y = y0; y <= y1; y++) {
      for (let x = x0 + ((x0 + y) & 1); x <= x1; x += 2) {
        const at = toPoint(camera, view, x, y);
        pen.rect(at.x, at.y, cell, cell);
      }
    }
    pen.fill();
  }

  const kindAt = (x: number, y: number): Kind | undefined => fixed.kinds[(fixed.terrain[y * space.width + x] ?? 0) - 1];
  const groundAt = (x: number, y: number): Ground | null => {
    const kind = x < 0 || y < 0 || x >= space.width || y >= space.height ? undefined : kindAt(x, y);
    return kind ? groundOf(kind) : null;
  };
  // A hair of overlap hides the seams between cells at broken sizes.
  const seam = 0.5;
  // Two passes: the front faces of walls first, so that no top is cut by a neighbour's face.
  for (const pass of ["faces", "tops"]) for (let y = y0; y <= y1; y++) {
    for (let x = x0; x <= x1; x++) {
      const kind = kindAt(x, y);
      if (!kind) continue;
      const at = toPoint(camera, view, x, y);
      const ground = groundOf(kind);
      if (pass === "faces" && ground !== "wall") continue;
      if (ground === "soft") {
        pen.globalAlpha = 0.25;
        pen.fillStyle = kindColour(kind.colour, theme.thing);
        pen.fillRect(at.x, at.y, cell + seam, cell + seam);
        pen.globalAlpha = 1;
        continue;
      }
      const same = (dx: number, dy: number): boolean => groundAt(x + dx, y + dy) === ground;
      const round = cell * (ground === "water" ? 0.45 : 0.22);
      const corners = [
        same(0, -1) || same(-1, 0) ? 0 : round, same(0, -1) || same(1, 0) ? 0 : round,
        same(0, 1) || same(1, 0) ? 0 : round, same(0, 1) || same(-1, 0) ? 0 : round,
      ];
      const right = same(1, 0) ? seam : 0;
      const below = same(0, 1) ? seam : 0;
      if (ground === "wall") {
        if (pass === "faces") {
          pen.fillStyle = theme.wallFace;
          pen.beginPath();
          pen.roundRect(at.x, at.y, cell + right, cell + below, corners);
          pen.fill();
          continue;
        }
        const face = same(0, 1) ? -seam : cell * 0.22;
        pen.fillStyle = theme.wall;
        pen.beginPath();
        pen.roundRect(at.x, at.y, cell + right, cell - face, corners);
        pen.fill();
      } else {
        pen.fillStyle = theme.water;
        pen.beginPath();
        pen.roundRect(at.x, at.y, cell + right, cell + below, corners);
        pen.fill();
        if (cell >= 14 && (x * 7 + y * 13) % 3 === 0) {
          pen.strokeStyle = theme.wave;
          pen.lineWidth = Math.max(1, cell * 0.06);
          pen.lineCap = "round";
          pen.beginPath();
          pen.moveTo(at.x + cell * 0.22, at.y + cell * 0.52);
          pen.bezierCurveTo(at.x + cell * 0.38, at.y + cell * 0.34, at.x + cell * 0.56, at.y + cell * 0.7, at.x + cell * 0.78, at.y + cell * 0.5);
          pen.stroke();
        }
      }
    }
  }
  pen.restore();

  pen.beginPath();
  pen.roundRect(corner.x, corner.y, width, height, Math.min(12, cell * 0.5));
  pen.strokeStyle = theme.edge;
  pen.lineWidth = 1.5;
  if (space.torus) pen.setLineDash([6, 5]);
  pen.stroke();
  pen.setLineDash([]);
}
