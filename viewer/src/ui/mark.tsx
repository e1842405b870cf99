// A seat's mark (shape, colour, label) and a status' mark (shape, colour), as they stand in lists.
import { seatMark, shapeSvg } from "../map/palette";

export function SeatMark({ seat, name, size = 20 }: { seat: number; name: string; size?: number }) {
  const mark = seatMark(seat, name);
  return (
    <svg class="mark" width={size} height={size} viewBox="-1 -1 22 22" aria-hidden="true">
      <path d={shapeSvg(mark.shape)} fill={mark.fill} class="mark-edge" />
      <text x="10" y={mark.shape === "triangle" ? 12.2 : 10.5} fill={mark.ink} font-size={mark.label.length > 2 ? (mark.shape === "triangle" ? 5.5 : 7) : mark.label.length > 1 ? 9 : 11} font-weight="700" text-anchor="middle" dominant-baseline="middle">{mark.label}</text>
    </svg>
  );
}

/** One shape a status, so that it is told without colour: ring, disc, triangle, square, cross. */
const STATUS: Readonly<Record<string, { readonly path: string; readonly tone: string; readonly word: string }>> = {
  starting: { path: "M6 1.500a4.500 4.500 0 1 0 4.500 4.500", tone: "wait", word: "starting" },
  ready: { path: "M6 1.500a4.500 4.500 0 1 0 .01 0Z", tone: "wait", word: "ready" },
  playing: { path: "M6 1.500a4.500 4.500 0 1 0 .01 0Z", tone: "good", word: "playing" },
  late: { path: "M6 1 11.200 10.500H.8Z", tone: "warn", word: "late" },
  absent: { path: "M1.500 1.500h9v9h-9Z", tone: "bad", word: "absent" },
  exited: { path: "M2 2l8 8M10 2l-8 8", tone: "bad", word: "exited" },
  ended: { path: "M2 3h8v6H2Z", tone: "wait", word: "ended" },
};

export function StatusMark({ status }: { status: string }) {
  const look = STATUS[status] ?? STATUS["starting"]!;
  const open = status === "starting" || status === "ready" || status === "exited";
  return (
    <span class={`status tone-${look.tone}`} data-status={status}>
      <svg width="10" height="10" viewBox="0 0 12 12" aria-hidden="true">
        <path d={look.path} fill={open ? "none" : "currentColor"} stroke={open ? "currentColor" : "none"} stroke-width="2" stroke-linecap="round" />
      </svg>
      {STATUS[status]?.word ?? status}
    </span>
  );
}

const WHOLE = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const SOME = new Intl.NumberFormat("en", { maximumFractionDigits: 2 });

/** A number as people read it: grouped, at most two decimals. */
export function amount(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  return Number.isInteger(value) ? WHOLE.format(value) : SOME.format(value);
}
