// The help sheet: keys and what the marks mean.
import { useEffect, useRef } from "preact/hooks";
import type { Store } from "../state/store";
import { KEYS } from "./keys";
import { StatusMark } from "./mark";

const STATUSES: readonly (readonly [string, string])[] = [
  ["playing", "answers in time"],
  ["late", "missed the last deadline; the world went on"],
  ["absent", "late several ticks in a row; nobody waits for it until it speaks"],
  ["exited", "its process is gone"],
];

export function Help({ store }: { store: Store }) {
  const ref = useRef<HTMLDialogElement>(null);
  const open = store.help.value;
  useEffect(() => {
    if (open && !ref.current?.open) ref.current?.showModal();
    if (!open && ref.current?.open) ref.current.close();
  }, [open]);
  return (
    <dialog ref={ref} class="help" aria-label="Help" onClose={() => { store.help.value = false; }} onClick={(event) => { if (event.target === ref.current) store.help.value = false; }}>
      <div class="help-in">
        <h2>Watching</h2>
        <dl class="keys">{KEYS.map((row) => <div key={row.keys}><dt>{row.keys.split(" ").map((key) => (key === "or" ? " or " : <kbd key={key}>{key}</kbd>))}</dt><dd>{row.does}</dd></div>)}</dl>
        <h2>What the marks mean</h2>
        <dl class="keys">{STATUSES.map(([status, means]) => <div key={status}><dt><StatusMark status={status} /></dt><dd>{means}</dd></div>)}
          <div><dt>zz</dt><dd>on the map: hit by a beam and timed out</dd></div></dl>
        <p class="sub">Drag moves the map, the wheel zooms, a click on an agent selects it. Pausing stops your picture only; a spectator never slows the world.</p>
        <button type="button" class="primary" onClick={() => { store.help.value = false; }}>Close</button>
      </div>
    </dialog>
  );
}
