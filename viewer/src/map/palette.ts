// Colours and shapes that tell seats and kinds apart. Eight seat colours after Okabe and Ito (2008, "Color Universal
// Design"), chosen to stay apart in all common forms of colour blindness; the shape tells seats apart without colour.

export interface SeatMark { readonly fill: string; readonly ink: string; readonly shape: Shape; readonly label: string }
export type Shape = "circle" | "square" | "diamond" | "hexagon" | "triangle";

const FILLS = ["#e69f00", "#56b4e9", "#009e73", "#f0e442", "#4a7fd4", "#d55e00", "#cc79a7", "#b4b2ac"] as const;
const INKS = ["#1d1500", "#06202f", "#ffffff", "#2b2800", "#ffffff", "#ffffff", "#2b0f1f", "#1b1b1b"] as const;
const SHAPES: readonly Shape[] = ["circle", "square", "hexagon", "diamond", "triangle"];

/** The mark of a seat; label is its number within its group (or its first letter), never more than three signs. */
export function seatMark(seat: number, name: string): SeatMark {
  const number = /(\d{1,3})$/.exec(name)?.[1];
  const label = number ?? initials(name);
  const row = Math.floor(seat / FILLS.length);
  return { fill: FILLS[seat % FILLS.length]!, ink: INKS[seat % INKS.length]!, shape: SHAPES[(seat + row) % SHAPES.length]!, label };
}

function initials(name: string): string {
  const words = name.split(/[-_\s]+/).filter((word) => word !== "");
  if (words.length < 2) return name.slice(0, 2).toUpperCase();
  // First and last two, so that tit-for-tat (TFT) and tit-for-two-tats (TTT) stay apart.
  return [words[0]!, ...words.slice(Math.max(1, words.length - 2))].map((word) => word[0]!).join("").toUpperCase();
}

const COLOUR = /^(#[0-9a-f]{3,8}|[a-z]{3,20})$/i;

/** A scenario's colour if it is one a canvas takes; otherwise a calm default. */
export function kindColour(colour: string, otherwise: string): string {
  return COLOUR.test(colour) ? colour : otherwise;
}

/** The outline of a shape around 0,0 with "radius" r, as a path. */
export function shapePath(path: CanvasPath & { closePath(): void }, shape: Shape, r: number): void {
  switch (shape) {
    case "circle":
      path.arc(0, 0, r, 0, Math.PI * 2);
      return;
    case "square": {
      const s = r * 0.88;
      path.roundRect(-s, -s, 2 * s, 2 * s, r * 0.3);
      return;
    }
    case "diamond":
      polygon(path, 4, r * 1.14, -Math.PI / 2);
      return;
    case "hexagon":
      polygon(path, 6, r * 1.06, 0);
      return;
    case "triangle":
      polygon(path, 3, r * 1.26, -Math.PI / 2);
      return;
  }
}

function polygon(path: CanvasPath, sides: number, r: number, turn: number): void {
  for (let i = 0; i < sides; i++) {
    const angle = turn + (i * 2 * Math.PI) / sides;
    if (i === 0) path.moveTo(Math.cos(angle) * r, Math.sin(angle) * r);
    else path.lineTo(Math.cos(angle) * r, Math.sin(angle) * r);
  }
  path.closePath();
}

/** The same shape as an SVG path in a box of 20 x 20, for lists. */
export function shapeSvg(shape: Shape): string {
  switch (shape) {
    case "circle": return "M10 1a9 9 0 1 0 0 18a9 9 0 1 0 0-18Z";
    case "square": return "M4.5 2h11A2.5 2.5 0 0 1 18 4.5v11a2.5 2.5 0 0 1-2.5 2.5h-11A2.5 2.5 0 0 1 2 15.500v-11A2.5 2.5 0 0 1 4.500 2Z";
    case "diamond": return "M10 0 20 10 10 20 0 10Z";
    case "hexagon": return "M19.500 10 14.750 18.230H5.250L.5 10l4.750-8.230h9.500Z";
    case "triangle": return "M10 0 20 17.300H0Z";
  }
}
