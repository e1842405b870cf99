// Messages, thoughts, refusals and trouble as they come, newest first, up to the tick that is shown.
import type { Static } from "../feed/wire";
import { GROUPS, sentence } from "../state/log";
import type { LogLine } from "../state/log";
import type { Store } from "../state/store";
import { amount, SeatMark } from "./mark";

const MOST_LINES = 120;

interface Row { line: LogLine; times: number; until: number }

/** What an agent repeats word for word becomes one row with a count. */
export function fold(lines: readonly LogLine[]): Row[] {
  const rows: Row[] = [];
  const last = new Map<string, Row>();
  for (const line of lines) {
    const key = `${line.group}:${line.event.seat}`;
    const before = last.get(key);
    if (before && before.line.event.name === line.event.name && before.line.event.text === line.event.text && before.line.event.other === line.event.other && line.event.text !== null) {
      before.times += 1;
      before.until = line.event.tick;
      // Of a file that is published again and again, the newest version counts.
      if (line.group === "files") before.line = line;
      continue;
    }
    const row = { line, times: 1, until: line.event.tick };
    last.set(key, row);
    rows.push(row);
  }
  return rows.sort((a, b) => a.until - b.until || a.line.id - b.line.id);
}

export function Timeline({ store, fixed }: { store: Store; fixed: Static }) {
  void store.version.value;
  const groups = store.groups.value;
  const chosen = store.selected.value;
  const rows = fold(store.log.upTo(store.world.value.tick, groups, chosen, MOST_LINES)).reverse();
  return (
    <section class="panel timeline" aria-label="Timeline">
      <div class="panel-head wrap">
        <h2>{chosen === null ? "As it happens" : "Its timeline"}</h2>
        {chosen !== null && <button type="button" class="quiet" onClick={() => store.select(null)}>show everybody</button>}
        <div class="chips" role="group" aria-label="Kinds of lines shown">
          {GROUPS.filter(({ group }) => group !== "files" || store.sharesFiles.value).map(({ group, title, hint }) => (
            <button key={group} type="button" class={`chip kind-${group}`} aria-pressed={groups.has(group)} title={hint} data-testid={`filter-${group}`} onClick={() => store.toggleGroup(group)}>{title}</button>
          ))}
        </div>
      </div>
      <div class="lines" role="log" aria-live="polite" aria-relevant="additions" tabIndex={0}><ol data-testid="timeline">
        {rows.map((row) => <Line key={row.line.id} row={row} store={store} fixed={fixed} />)}
        {rows.length === 0 && <li class="more">{groups.size === 0 ? "All kinds are switched off." : "Nothing of these kinds yet."}</li>}
      </ol></div>
    </section>
  );
}

function Line({ row, store, fixed }: { row: Row; store: Store; fixed: Static }) {
  const { event, group } = row.line;
  const name = event.seat === null ? null : (fixed.seats[event.seat]?.name ?? `seat ${event.seat}`);
  const how = typeof event.data["how"] === "string" ? event.data["how"] : null;
  const to = event.other ?? (typeof event.data["to"] === "number" ? event.data["to"] : null);
  return (
    <li class={`line kind-${group}`} data-kind={group} data-seat={name ?? ""}>
      <span class="when num">{amount(row.until)}</span>
      <span class="who">{event.seat !== null && name !== null ? <button type="button" class="plain" title={name} onClick={() => store.select(event.seat)}><SeatMark seat={event.seat} name={name} size={18} /></button> : <i class="nobody" />}</span>
      <span class="said">
        {name !== null && <b>{name}</b>}
        {group === "messages" && how === "whisper" && <em> to {store.seatName(to)}</em>}
        {group === "messages" && how === "broadcast" && <em> to all</em>}
        {group === "thoughts" && <em> thinks</em>}
        {group === "answers" && <em> is asked</em>}
        {group === "tools" && <em> calls</em>}{" "}
        <span class="words">{sentence(event, store.seatName)}</span>
        {row.times > 1 && <span class="times num"> ×{row.times}</span>}
      </span>
    </li>
  );
}
