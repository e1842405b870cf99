// The shared files: newest versions, who wrote them, who holds a lease and who waits. Beside the map, or in its place.
import { useEffect, useRef, useState } from "preact/hooks";
import { KIND_PROGRAM, scopeName } from "../feed/files";
import type { Lease, Wait } from "../feed/files";
import type { Static } from "../feed/wire";
import { isGone, rowsOf } from "../state/files";
import type { FileRow, Order } from "../state/files";
import type { Store } from "../state/store";
import { amount, SeatMark } from "./mark";

const MOST_ROWS = 200;
const FLASH_MS = 1_400;
/** A row that appears is marked if it changed within so many ticks. */
const FRESH_TICKS = 3;

export function Files({ store, fixed }: { store: Store; fixed: Static }) {
  const [order, setOrder] = useState<Order>("newest");
  const files = store.world.value.files;
  const clock = useClock(store.mode.value === "live" && store.phase.value !== "ended" && (files?.leases.length ?? 0) > 0);
  if (!files) return null;
  const rows = rowsOf(files, order);
  const { count, bytes, held, waits, published, refused } = files.totals;
  const heads: readonly (readonly [string, Order | null, string])[] = [["Path", "path", "path"], ["Version", null, "num"], ["By", null, "by"], ["Size", null, "num"], ["Tick", "newest", "num"]];
  return (
    <section class="panel files" aria-label="Shared files" data-testid="files" data-count={count} data-held={held} data-waits={waits} data-published={published} data-refused={refused}>
      <div class="panel-head">
        <h2>Files</h2>
        <span class="sub">{counted(count, "file")}, {size(bytes)}</span>
        <span class="sub end num" title={`${counted(published, "version")} published by seats, ${counted(refused, "refusal")}`}>
          {[held > 0 ? `${held} leased` : "", waits > 0 ? `${waits} waiting` : "", `${amount(refused)} refused`].filter(Boolean).join(" · ")}
        </span>
      </div>
      {rows.length === 0 ? <p class="more">The shared tree is empty: nobody has published anything yet.</p> : (
        <div class="table" tabIndex={0} role="region" aria-label="Table of files">
          <table>
            <thead><tr>{heads.map(([title, by, look]) => (
              <th key={title} scope="col" class={look} aria-sort={by === null ? undefined : order === by ? (by === "path" ? "ascending" : "descending") : "none"}>
                {by === null ? title : <button type="button" class="sort" title={by === "path" ? "By path" : "Newest first"} onClick={() => setOrder(by)}>{title}<i aria-hidden="true">{order === by ? (by === "path" ? "▲" : "▼") : ""}</i></button>}
              </th>
            ))}</tr></thead>
            <tbody>{rows.slice(0, MOST_ROWS).map((row) => <Row key={row.name} row={row} store={store} fixed={fixed} clock={clock} />)}</tbody>
          </table>
          {rows.length > MOST_ROWS && <p class="more">and {amount(rows.length - MOST_ROWS)} more that changed longer ago</p>}
        </div>
      )}
    </section>
  );
}

function Row({ row, store, fixed, clock }: { row: FileRow; store: Store; fixed: Static; clock: number | null }) {
  const { name, file, leases, waiting } = row;
  const ref = useRef<HTMLTableRowElement>(null);
  const shown = useRef<number | null>(null);
  const version = file?.version ?? 0;
  useEffect(() => {
    const fresh = shown.current === null ? file?.changed != null && store.world.peek().tick - file.changed < FRESH_TICKS : shown.current !== version;
    shown.current = version;
    if (!fresh || window.matchMedia("(prefers-reduced-motion: reduce)").matches) return;
    const ink = getComputedStyle(ref.current!).getPropertyValue("--accent-soft").trim();
    const flash = ref.current!.animate([{ backgroundColor: ink }, { backgroundColor: ink, offset: 0.4 }, { backgroundColor: "transparent" }], FLASH_MS);
    return () => flash.cancel();
  }, [version]);
  const gone = file !== null && isGone(file);
  const by = file && file.seat >= 0 ? (fixed.seats[file.seat]?.name ?? `seat ${file.seat}`) : null;
  return (
    <tr ref={ref} class={gone ? "gone" : ""} data-path={name} data-version={file?.version} data-seat={by ?? ""} data-holder={leases.map((lease) => store.seatName(lease.seat)).join(" ")} data-waiting={waiting.map((wait) => store.seatName(wait.seat)).join(" ")}>
      <th scope="row" class="path">
        <span class="name" title={gone ? `${name}, deleted` : name}>{gone ? <s>{name}</s> : name}{file?.kind === KIND_PROGRAM && <em class="sub" title="may be executed"> exec</em>}</span>
        {(leases.length > 0 || waiting.length > 0) && (
          <span class="claims">
            {leases.map((lease) => <Holder key={lease.token} lease={lease} store={store} clock={clock} />)}
            {waiting.map((wait) => <Waiter key={wait.seat} wait={wait} store={store} />)}
          </span>
        )}
      </th>
      <td class="num">{file ? `@${file.version}` : "–"}</td>
      <td class="by">{file && by !== null ? <button type="button" class="plain" title={`written last by ${by}`} onClick={() => store.select(file.seat)}><SeatMark seat={file.seat} name={by} size={18} /><span class="by-name">{by}</span></button> : file && <span class="sub" title="the scenario's own file">start</span>}</td>
      <td class="num">{file ? (gone ? "deleted" : size(file.bytes)) : "–"}</td>
      <td class="num">{file ? amount(file.tick) : "–"}</td>
    </tr>
  );
}

/** Who holds a lease: a lock, the seat, and for how long still. */
export function Holder({ lease, store, clock, named = false }: { lease: Lease; store: Store; clock: number | null; named?: boolean }) {
  const name = store.seatName(lease.seat);
  const left = clock === null ? `since tick ${amount(lease.since)}` : span(lease.untilMs - clock);
  return (
    <button type="button" class="claim held" title={`${name} holds ${scopeName(lease)} since tick ${amount(lease.since)}${lease.untilMs > 0 ? `, until ${new Date(lease.untilMs).toLocaleTimeString()} by the host's clock` : ""}; lease ${lease.token}`} onClick={() => { store.selected.value = lease.seat; }}>
      <svg width="10" height="12" viewBox="0 0 10 12" role="img" aria-label="held by"><path d="M1 5.500h8v6H1Z" fill="currentColor" /><path d="M2.800 5.500V3.300a2.200 2.200 0 0 1 4.400 0v2.200" fill="none" stroke="currentColor" stroke-width="1.400" /></svg>
      {!named && <SeatMark seat={lease.seat} name={name} size={14} />}<b>{named ? scopeName(lease) : name}</b>
      <span class="sub num">{left}</span>
    </button>
  );
}

/** Who waits: an hourglass and the seat. */
export function Waiter({ wait, store, named = false }: { wait: Wait; store: Store; named?: boolean }) {
  const name = store.seatName(wait.seat);
  return (
    <button type="button" class="claim waits" title={`${name} waits for ${scopeName(wait)} since tick ${amount(wait.since)}`} onClick={() => { store.selected.value = wait.seat; }}>
      <svg width="9" height="12" viewBox="0 0 9 12" role="img" aria-label="waiting:"><path d="M1 .800h7M1 11.200h7M1.800.800c0 3 2 3.600 2.700 5.200.7-1.600 2.700-2.200 2.700-5.200M1.800 11.200c0-3 2-3.600 2.700-5.200.7 1.600 2.700 2.200 2.700 5.200" fill="none" stroke="currentColor" stroke-width="1.200" stroke-linejoin="round" /></svg>
      {!named && <SeatMark seat={wait.seat} name={name} size={14} />}<b>{named ? scopeName(wait) : name}</b>
    </button>
  );
}

/** `Date.now()`, anew each second while it is wanted. */
export function useClock(wanted: boolean): number | null {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    if (!wanted) return;
    setNow(Date.now());
    const timer = setInterval(() => setNow(Date.now()), 1_000);
    return () => clearInterval(timer);
  }, [wanted]);
  return wanted ? now : null;
}

/** A time that is left, as people say it. */
export function span(ms: number): string {
  const seconds = Math.ceil(ms / 1_000);
  if (seconds <= 0) return "ending";
  if (seconds < 100) return `${seconds} s`;
  if (seconds < 5_400) return `${Math.round(seconds / 60)} min`;
  return `${Math.round(seconds / 3_600)} h`;
}

/** Bytes as people say them. */
export function size(bytes: number): string {
  const units = ["B", "kB", "MB", "GB"];
  let at = 0;
  for (; bytes >= 999.5 && at < units.length - 1; at++) bytes /= 1_000;
  return `${at === 0 || bytes >= 9.95 ? Math.round(bytes) : bytes.toFixed(1)} ${units[at]}`;
}

const counted = (count: number, noun: string): string => `${amount(count)} ${noun}${count === 1 ? "" : "s"}`;
