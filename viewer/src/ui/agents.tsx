// Who plays: mark, name, status in words, score. Those in trouble stand on top with the reason.
import { useRef, useState } from "preact/hooks";
import type { Static } from "../feed/wire";
import { isTrouble } from "../state/store";
import type { Store } from "../state/store";
import { UNKNOWN_SEAT } from "../state/reducer";
import { amount, SeatMark, StatusMark } from "./mark";

const MOST_ROWS = 120;
/** A row that rose for trouble stays up this long, so that an agent late now and then does not make the list jump. */
const HOLD_MS = 3_000;

export function Agents({ store, fixed }: { store: Store; fixed: Static }) {
  const [find, setFind] = useState("");
  const world = store.world.value;
  const chosen = store.selected.value;
  const seats = fixed.seats.map((seat, index) => ({ index, name: seat.name, ...(world.seats[index] ?? UNKNOWN_SEAT), score: world.scores[index] ?? 0 }));
  const raised = useRef(new Map<number, number>());
  const clock = performance.now();
  for (const seat of seats) if (seat.status === "late") raised.current.set(seat.index, clock);
  const worst = (seat: { index: number; status: string }): number => {
    if (seat.status === "exited") return 0;
    if (seat.status === "absent") return 1;
    return clock - (raised.current.get(seat.index) ?? -Infinity) < HOLD_MS ? 2 : 3;
  };
  const needle = find.trim().toLowerCase();
  const rows = seats
    .filter((seat) => needle === "" || seat.name.toLowerCase().includes(needle))
    .sort((a, b) => worst(a) - worst(b) || a.index - b.index);
  const most = Math.max(1e-9, ...seats.map((seat) => Math.abs(seat.score)));
  const inTrouble = seats.filter((seat) => isTrouble(seat.status)).length;
  return (
    <section class="panel agents" aria-label="Agents">
      <div class="panel-head">
        <h2>Agents</h2>
        <span class={inTrouble > 0 ? "sub tone-bad" : "sub"} data-testid="trouble">{inTrouble > 0 ? `${inTrouble} of ${seats.length} in trouble` : `${seats.length} seats, all well`}</span>
        {seats.length > 16 && <input class="find" type="search" placeholder="Find" aria-label="Find an agent" value={find} onInput={(event) => setFind(event.currentTarget.value)} />}
        <span class="sub end">{fixed.score.unit || "score"}</span>
      </div>
      <ul class="rows" data-testid="agents">
        {rows.slice(0, MOST_ROWS).map((seat) => {
          const thing = world.things.get(world.bodies.get(seat.index) ?? -1);
          const trouble = isTrouble(seat.status);
          return (
            <li key={seat.index}>
              <button type="button" class={`row ${chosen === seat.index ? "chosen" : ""} ${trouble ? "trouble" : ""}`} aria-pressed={chosen === seat.index}
                data-testid={`agent-${seat.index}`} data-seat={seat.name} data-status={seat.status} data-x={thing?.x} data-y={thing?.y} data-score={seat.score}
                onClick={() => store.select(seat.index)}>
                <SeatMark seat={seat.index} name={seat.name} />
                <span class="row-name">{seat.name}</span>
                <StatusMark status={seat.status} />
                <span class="score num"><i style={{ width: `${Math.round((Math.max(0, seat.score) / most) * 100)}%` }} /><b>{amount(seat.score)}</b></span>
                {seat.reason && <span class="reason">{seat.reason}</span>}
              </button>
            </li>
          );
        })}
        {rows.length > MOST_ROWS && <li class="more">and {amount(rows.length - MOST_ROWS)} more; type in Find to reach them</li>}
        {rows.length === 0 && <li class="more">No agent's name has “{find}” in it.</li>}
      </ul>
    </section>
  );
}
