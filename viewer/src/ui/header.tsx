// The top of the page: what is shown, and whether it is live; a banner where something is wrong, with what to do.
import { useEffect, useState } from "preact/hooks";
import type { Store } from "../state/store";
import { amount } from "./mark";

const NAMES: Readonly<Record<string, { readonly word: string; readonly tone: string }>> = {
  "no-token": { word: "No token", tone: "bad" },
  connecting: { word: "Connecting", tone: "wait" },
  live: { word: "Connected", tone: "good" },
  stale: { word: "No heartbeat", tone: "warn" },
  gap: { word: "Catching up", tone: "warn" },
  reconnecting: { word: "Reconnecting", tone: "warn" },
  ended: { word: "Run ended", tone: "wait" },
  "bad-token": { word: "Wrong token", tone: "bad" },
  refused: { word: "Refused", tone: "bad" },
  damaged: { word: "Damaged", tone: "bad" },
  recorded: { word: "Recording", tone: "wait" },
};

export function Header({ store }: { store: Store }) {
  const fixed = store.fixed.value;
  const phase = store.connection.value.phase;
  const over = store.phase.value === "ended" && phase === "live";
  const look = over ? NAMES["ended"]! : NAMES[phase]!;
  const pace = store.tps.value;
  return (
    <header class="top">
      <div class="brand">
        <svg width="22" height="22" viewBox="0 0 24 24" aria-hidden="true"><g fill="currentColor"><circle cx="12" cy="5.200" r="2.700" /><circle cx="12" cy="10.800" r="2.200" /><ellipse cx="12" cy="17.900" rx="3.500" ry="4.500" /></g>
          <g fill="none" stroke="currentColor" stroke-width="1.300" stroke-linecap="round"><path d="M10.500 3 8.500.900M13.500 3l2-2.100M9.800 10 6 8.200M14.200 10 18 8.200M9.800 11.600 5.500 12.600M14.200 11.600l4.300 1M9 15.500l-3.500 2.800M15 15.500l3.500 2.800" /></g></svg>
        <span class="wordmark">Formicarium</span>
      </div>
      {fixed && (
        <div class="what">
          <h1>{fixed.scenario.title}</h1>
          <span class="sub" title={fixed.scenario.summary}>{fixed.scenario.summary}</span>
        </div>
      )}
      <div class="top-end">
        {fixed && phase === "live" && !over && pace > 0 && <span class="sub wide num">{fixed.mode} · {amount(Math.round(pace * 10) / 10)} ticks/s</span>}
        <span class={`pill tone-${look.tone}`} role="status" data-testid="connection">
          <span class="dot" />{look.word}
        </span>
        <button type="button" class="icon" title="Keys and help (?)" aria-label="Keys and help" onClick={() => { store.help.value = true; }}>?</button>
      </div>
    </header>
  );
}

export function Banner({ store }: { store: Store }) {
  const state = store.connection.value;
  const [, tick] = useState(0);
  useEffect(() => {
    if (state.retryAt === null) return undefined;
    const timer = setInterval(() => tick((n) => n + 1), 500);
    return () => clearInterval(timer);
  }, [state.retryAt]);

  if (!store.fixed.value) return null;
  const ended = store.ended.value;
  if (state.phase === "recorded") return null;
  if (ended && (state.phase === "ended" || state.phase === "live")) {
    return <p class="banner tone-wait" data-testid="banner">The run ended at tick {amount(ended.tick)}: {ended.reason}. Everything received stays here to scrub through.</p>;
  }
  if (state.phase === "live" || state.phase === "connecting") return null;
  const left = state.retryAt === null ? null : Math.max(0, Math.ceil((state.retryAt - Date.now()) / 1000));
  return (
    <p class={`banner tone-${NAMES[state.phase]!.tone}`} data-testid="banner">
      <span>{state.detail} {left !== null && <span class="num">Next try in {left} s (attempt {state.attempt}).</span>}</span>
      {left !== null && <button type="button" class="quiet" onClick={() => store.retryNow()}>Try now</button>}
    </p>
  );
}
