// Pause, step, scrub, speed and the way back to live. Everything here moves the picture only, never the world.
import type { Store } from "../state/store";
import { amount } from "./mark";

const SPEEDS = [0.5, 1, 2, 4, 8] as const;

export function Transport({ store }: { store: Store }) {
  const mode = store.mode.value;
  const { first, last, gaps } = store.range.value;
  const tick = store.world.value.tick;
  const behind = last - tick;
  const span = Math.max(1, last - first);
  const connected = store.connection.value.phase === "live" && store.phase.value !== "ended";
  return (
    <div class={`transport mode-${mode}`} role="group" aria-label="Playback of the picture">
      <div class="buttons">
        <button type="button" class="icon" title="One tick back (←)" aria-label="One tick back" data-testid="back" disabled={tick <= first} onClick={store.back}><Icon path="M10 2 4 7l6 5ZM2.500 2v10" /></button>
        <button type="button" class="icon big" title={mode === "paused" ? "Play (Space)" : "Pause the picture (Space)"} aria-label={mode === "paused" ? "Play" : "Pause the picture"} data-testid="pause" onClick={store.toggle}>
          <Icon path={mode === "paused" ? "M3 1.500 12 7l-9 5.500Z" : "M3 2h2.500v10H3ZM8.500 2H11v10H8.500Z"} />
        </button>
        <button type="button" class="icon" title="One tick forward (→)" aria-label="One tick forward" data-testid="forward" disabled={behind <= 0} onClick={store.forward}><Icon path="M4 2l6 5-6 5ZM11.500 2v10" /></button>
      </div>
      <div class="scrub" style={{ "--at": `${((tick - first) / span) * 100}%` }}>
        <div class="gaps" aria-hidden="true">
          {gaps.map(([from, to]) => <i key={from} title={`ticks ${from} to ${to} were not received`} style={{ left: `${((from - first) / span) * 100}%`, width: `${((to - from + 1) / span) * 100}%` }} />)}
        </div>
        <input type="range" min={first} max={Math.max(last, first + 1)} step="1" value={tick} data-testid="scrub" aria-label="Tick shown" aria-valuetext={`tick ${tick} of ${last}`}
          onInput={(event) => store.seek(Number(event.currentTarget.value))} />
      </div>
      <span class="ticks num" data-testid="ticks"><b>{amount(tick)}</b>{behind > 0 && <span class="behind"> −{amount(behind)}</span>}</span>
      <label class="speed"><span class="hidden">Replay speed</span>
        <select title="Speed of a replay; live always goes at the world's pace" value={String(store.speed.value)} onChange={(event) => store.setSpeed(Number(event.currentTarget.value))}>
          {SPEEDS.map((speed) => <option key={speed} value={String(speed)}>{speed}×</option>)}
        </select>
      </label>
      {store.connection.value.phase !== "recorded" && <button type="button" class={`live ${mode === "live" ? (connected ? "on" : "off") : "away"}`} data-testid="live" title="Jump to live (L)" aria-pressed={mode === "live"} onClick={store.live}>
        <span class="dot" />{mode === "live" ? (connected ? "LIVE" : "NEWEST") : connected ? "Go live" : "Go to newest"}
      </button>}
    </div>
  );
}

function Icon({ path }: { path: string }) {
  return <svg width="14" height="14" viewBox="0 0 14 14" aria-hidden="true"><path d={path} fill="currentColor" stroke="currentColor" stroke-width="1.200" stroke-linejoin="round" stroke-linecap="round" /></svg>;
}
