// One agent's body on the map: its seat's shape, colour and label, feelers that show where it faces, and its condition.
import type { Thing } from "../feed/wire";
import { FLAG_ABSENT, FLAG_EXITED, FLAG_TIMED_OUT } from "../feed/wire";
import { shapePath } from "./palette";
import type { SeatMark } from "./palette";
import type { MapTheme } from "./theme";

export interface BodyLook {
  readonly px: number; readonly py: number; readonly cell: number;
  readonly thing: Thing; readonly mark: SeatMark; readonly status: string; readonly selected: boolean;
}

/** Turn from east, by the feed's face: N, E, S, W, then NE, SE, SW, NW. */
const TURNS = [-2, 0, 2, 4, -1, 1, 3, -3].map((eighth) => (eighth * Math.PI) / 4);

export function drawBody(pen: CanvasRenderingContext2D, look: BodyLook, theme: MapTheme): void {
  const { px, py, cell, thing, mark } = look;
  const r = Math.max(3, cell * 0.37);
  const exited = (thing.flags & FLAG_EXITED) !== 0 || look.status === "exited";
  const absent = !exited && ((thing.flags & FLAG_ABSENT) !== 0 || look.status === "absent");
  const out = (thing.flags & FLAG_TIMED_OUT) !== 0;

  pen.save();
  pen.translate(px, py);
  if (look.selected) {
    pen.strokeStyle = theme.accent;
    pen.lineWidth = Math.max(2, cell * 0.08);
    pen.beginPath();
    pen.arc(0, 0, r * 1.55, 0, Math.PI * 2);
    pen.stroke();
  }
  pen.globalAlpha = exited ? 0.4 : absent ? 0.55 : 1;

  if (cell >= 9) {
    pen.fillStyle = theme.shadow;
    pen.beginPath();
    pen.ellipse(0, r * 0.82, r * 0.85, r * 0.38, 0, 0, Math.PI * 2);
    pen.fill();
  }
  if (cell >= 11 && thing.face >= 0 && !exited) {
    pen.save();
    pen.rotate(TURNS[thing.face] ?? 0);
    pen.strokeStyle = theme.outline;
    pen.lineCap = "round";
    pen.lineWidth = Math.max(1.4, cell * 0.07);
    pen.beginPath();
    for (const side of [-1, 1]) {
      pen.moveTo(r * 0.8, side * r * 0.3);
      pen.quadraticCurveTo(r * 1.25, side * r * 0.32, r * 1.5, side * r * 0.72);
    }
    pen.stroke();
    pen.restore();
  }

  pen.beginPath();
  shapePath(pen, mark.shape, r);
  pen.fillStyle = out || exited ? theme.faint : mark.fill;
  pen.fill();
  pen.strokeStyle = out ? mark.fill : theme.outline;
  pen.lineWidth = out ? Math.max(2, cell * 0.1) : Math.max(1, cell * 0.055);
  if (absent || out) pen.setLineDash([Math.max(2, cell * 0.14), Math.max(2, cell * 0.1)]);
  pen.stroke();
  pen.setLineDash([]);

  if (cell >= 14) {
    pen.fillStyle = out || exited ? theme.panel : mark.ink;
    const size = r * (mark.label.length > 2 ? 0.72 : mark.label.length > 1 ? 0.9 : 1.05);
    pen.font = `700 ${size}px ${theme.font}`;
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    pen.fillText(mark.label, 0, mark.shape === "triangle" ? r * 0.22 : r * 0.06);
  }
  if (exited) {
    pen.strokeStyle = theme.ink;
    pen.lineWidth = Math.max(1.5, cell * 0.08);
    pen.beginPath();
    pen.moveTo(-r, -r);
    pen.lineTo(r, r);
    pen.moveTo(r, -r);
    pen.lineTo(-r, r);
    pen.stroke();
  }
  pen.globalAlpha = 1;
  if (cell >= 16 && (out || absent)) drawBadge(pen, r, out ? "zz" : "?", theme);
  pen.restore();
}

function drawBadge(pen: CanvasRenderingContext2D, r: number, text: string, theme: MapTheme): void {
  const size = Math.max(9, r * 0.8);
  pen.font = `700 ${size}px ${theme.font}`;
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  pen.lineJoin = "round";
  pen.lineWidth = 3;
  pen.strokeStyle = theme.floor;
  pen.strokeText(text, r * 0.95, -r * 0.95);
  pen.fillStyle = theme.ink;
  pen.fillText(text, r * 0.95, -r * 0.95);
}

export function drawName(pen: CanvasRenderingContext2D, name: string, px: number, py: number, cell: number, theme: MapTheme): void {
  pen.save();
  pen.font = `600 12px ${theme.font}`;
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  const width = pen.measureText(name).width + 14;
  const y = py + Math.max(14, cell * 0.8) + 6;
  pen.fillStyle = theme.ink;
  pen.beginPath();
  pen.roundRect(px - width / 2, y - 10, width, 20, 10);
  pen.fill();
  pen.fillStyle = theme.panel;
  pen.fillText(name, px, y + 0.5);
  pen.restore();
}
