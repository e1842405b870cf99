// Games without a place: who met whom and what it earned them, and the ranking. Takes the map's place on the page.
import type { Static } from "../feed/wire";
import type { Pair, World } from "../state/reducer";
import type { Store } from "../state/store";
import { amount, SeatMark } from "./mark";

const MOST_SEATS = 24;

interface Meeting { readonly rounds: number; readonly mean: number; readonly mine: string; readonly theirs: string }

function meeting(world: World, row: number, column: number): Meeting | null {
  const pair: Pair | undefined = world.pairs.get(`${Math.min(row, column)}:${Math.max(row, column)}`);
  if (!pair || pair.rounds === 0) return null;
  const forA = pair.a === row;
  return { rounds: pair.rounds, mean: (forA ? pair.sumA : pair.sumB) / pair.rounds, mine: forA ? pair.lastA : pair.lastB, theirs: forA ? pair.lastB : pair.lastA };
}

const letter = (choice: string): string => choice.slice(0, 1).toUpperCase();

export function Matrix({ store, fixed }: { store: Store; fixed: Static }) {
  const world = store.world.value;
  const chosen = store.selected.value;
  const seats = fixed.seats.map((seat, index) => ({ index, name: seat.name, score: world.scores[index] ?? 0 }));
  const sign = fixed.score.best === "lowest" ? 1 : -1;
  const ranking = [...seats].sort((a, b) => sign * (a.score - b.score) || a.index - b.index);
  const most = Math.max(1e-9, ...seats.map((seat) => seat.score));
  const shown = seats.slice(0, MOST_SEATS);
  const meetings = shown.map((row) => shown.map((column) => (row.index === column.index ? null : meeting(world, row.index, column.index))));
  const means = meetings.flat().flatMap((cell) => (cell ? [cell.mean] : []));
  const low = Math.min(0, ...means);
  const high = Math.max(low + 1e-9, ...means);
  // Who met in the tick that is shown.
  const now = new Set(world.events.flatMap((event) => (event.name === "matrix.played" && event.seat !== null && event.other !== null ? [`${event.seat}:${event.other}`, `${event.other}:${event.seat}`] : [])));
  const partial = (world.pairsFrom ?? 0) > 0 || store.range.value.gaps.length > 0;
  return (
    <div class="matrix" data-testid="matrix">
      <div class="matrix-grid">
        <h2>Who met whom <span class="sub">mean {fixed.score.unit || "payoff"} a round, row against column</span></h2>
        <div class="scroll">
          <table>
            <thead><tr><td />{shown.map((seat) => <th key={seat.index} scope="col" title={seat.name}><SeatMark seat={seat.index} name={seat.name} /></th>)}</tr></thead>
            <tbody>
              {shown.map((row, y) => (
                <tr key={row.index} class={chosen === row.index ? "chosen" : ""}>
                  <th scope="row"><button type="button" class="plain" onClick={() => store.select(row.index)}><SeatMark seat={row.index} name={row.name} /><span>{row.name}</span></button></th>
                  {shown.map((column, x) => {
                    const cell = meetings[y]![x];
                    if (row.index === column.index) return <td key={column.index} class="self" />;
                    if (!cell) return <td key={column.index} class="none" title={`${row.name} has not met ${column.name} yet`}>·</td>;
                    return (
                      <td key={column.index} class={`num ${now.has(`${row.index}:${column.index}`) ? "now" : ""}`} style={{ "--heat": ((cell.mean - low) / (high - low)).toFixed(3) }}
                        title={`${row.name} against ${column.name}: ${cell.rounds} rounds, ${cell.mean.toFixed(2)} a round; last ${cell.mine || "?"} against ${cell.theirs || "?"}`}>
                        <b>{cell.mean.toFixed(2)}</b>{cell.mine !== "" && <small>{letter(cell.mine)}{letter(cell.theirs)}</small>}
                      </td>
                    );
                  })}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
        {seats.length > MOST_SEATS && <p class="sub">The first {MOST_SEATS} of {seats.length} seats; the ranking has all.</p>}
        {partial && <p class="sub">Counted from tick {amount(world.pairsFrom)} on, as this page received it; the totals in the ranking are the world's.</p>}
      </div>
      <div class="ranking">
        <h2>Ranking</h2>
        <ol>{ranking.slice(0, 60).map((seat, place) => (
          <li key={seat.index}><button type="button" class={`bar ${chosen === seat.index ? "chosen" : ""}`} onClick={() => store.select(seat.index)}>
            <span class="place num">{place + 1}</span><SeatMark seat={seat.index} name={seat.name} /><span class="bar-name">{seat.name}</span>
            <span class="track"><i style={{ width: `${(Math.max(0, seat.score) / most) * 100}%` }} /></span><b class="num">{amount(seat.score)}</b>
          </button></li>
        ))}</ol>
      </div>
    </div>
  );
}
