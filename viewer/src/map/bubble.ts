// Speech bubbles: wrapped, inside the view, and moved apart where they would cover each other.
import type { View } from "./camera";
import type { MapTheme } from "./theme";

export interface Bubble {
  readonly px: number; readonly py: number; readonly foot: number; readonly text: string; readonly whispered: boolean; readonly alpha: number; readonly colour: string;
}

const WIDTH = 190;
const LINE = 16;
const PAD = 8;
const MOST_LINES = 3;

export function drawBubbles(pen: CanvasRenderingContext2D, bubbles: readonly Bubble[], view: View, theme: MapTheme): void {
  pen.save();
  pen.textBaseline = "middle";
  pen.textAlign = "left";
  const taken: { x: number; y: number; w: number; h: number }[] = [];
  // Newest first: they get the best places.
  for (const bubble of [...bubbles].reverse()) {
    pen.font = `${bubble.whispered ? "italic " : ""}500 12px ${theme.font}`;
    const lines = wrap(bubble.text, WIDTH - 2 * PAD, (text) => pen.measureText(text).width);
    const w = Math.max(28, ...lines.map((line) => pen.measureText(line).width)) + 2 * PAD;
    const h = lines.length * LINE + PAD;
    const x = Math.min(view.width - w - 6, Math.max(6, bubble.px - Math.min(24, w / 2)));
    // Over the head; where there is no room, under the feet.
    let y = bubble.py - h - 9 >= 4 ? bubble.py - h - 9 : bubble.foot + 9;
    for (let tries = 0; tries < 8; tries++) {
      const hit = taken.find((box) => x < box.x + box.w && x + w > box.x && y < box.y + box.h && y + h > box.y);
      if (!hit) break;
      y = hit.y - h - 4 >= 6 ? hit.y - h - 4 : hit.y + hit.h + 4;
    }
    taken.push({ x, y, w, h });

    pen.globalAlpha = Math.max(0, Math.min(1, bubble.alpha));
    const tip = Math.min(x + w - 12, Math.max(x + 12, bubble.px));
    pen.fillStyle = theme.panel;
    pen.strokeStyle = bubble.colour;
    pen.lineWidth = 1.5;
    if (bubble.whispered) pen.setLineDash([4, 3]);
    pen.beginPath();
    pen.roundRect(x, y, w, h, 9);
    pen.fill();
    pen.stroke();
    pen.setLineDash([]);
    const above = y + h <= bubble.py;
    if (above || y >= bubble.foot) {
      const side = above ? y + h - 0.9 : y + 0.9;
      pen.beginPath();
      pen.moveTo(tip - 5, side);
      pen.lineTo(bubble.px, above ? Math.min(bubble.py, y + h + 14) : Math.max(bubble.foot, y - 14));
      pen.lineTo(tip + 5, side);
      pen.fill();
      pen.stroke();
    }
    pen.fillStyle = theme.ink;
    lines.forEach((line, row) => pen.fillText(line, x + PAD, y + PAD / 2 + LINE * (row + 0.5)));
  }
  pen.restore();
}

/** Breaks at spaces, cuts words that are too long, and ends with an ellipsis where lines run out. */
export function wrap(text: string, width: number, measure: (text: string) => number): string[] {
  const lines: string[] = [];
  let line = "";
  const words = text.replace(/\s+/g, " ").trim().slice(0, 240).split(" ");
  for (let at = 0; at < words.length; at++) {
    const longer = line === "" ? words[at]! : `${line} ${words[at]}`;
    if (measure(longer) <= width) {
      line = longer;
      continue;
    }
    if (line !== "") lines.push(line);
    line = cut(words[at]!, width, measure);
    if (lines.length === MOST_LINES) break;
  }
  if (line !== "" && lines.length < MOST_LINES) lines.push(line);
  else if (lines.length === MOST_LINES) lines[MOST_LINES - 1] = cut(`${lines[MOST_LINES - 1]}…`, width, measure);
  return lines;
}

function cut(word: string, width: number, measure: (text: string) => number): string {
  if (measure(word) <= width) return word;
  let end = word.length;
  while (end > 1 && measure(`${word.slice(0, end)}…`) > width) end -= 1;
  return `${word.slice(0, end)}…`;
}
