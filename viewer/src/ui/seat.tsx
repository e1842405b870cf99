// The selected agent: who it is, how it does, what it last thought. Its words and refusals stand in the timeline below.
import type { Static } from "../feed/wire";
import { FLAG_TIMED_OUT } from "../feed/wire";
import type { Store } from "../state/store";
import { UNKNOWN_SEAT } from "../state/reducer";
import { filesOfSeat, isGone } from "../state/files";
import { Holder, useClock, Waiter } from "./files";
import { amount, SeatMark, StatusMark } from "./mark";

const FACES = ["north", "east", "south", "west", "north-east", "south-east", "south-west", "north-west"];
/** Files that a seat wrote last. */
const WROTE = 4;
const THOUGHTS = new Set(["thoughts"] as const);

export function SeatPanel({ store, fixed }: { store: Store; fixed: Static }) {
  const chosen = store.selected.value;
  const info = chosen === null ? undefined : fixed.seats[chosen];
  void store.version.value;
  if (chosen === null || !info) return null;
  const world = store.world.value;
  const state = world.seats[chosen] ?? UNKNOWN_SEAT;
  const body = world.things.get(world.bodies.get(chosen) ?? -1);
  const thought = store.log.upTo(world.tick, THOUGHTS, chosen, 1)[0]?.event;
  const facts: (readonly [string, string])[] = [[fixed.score.unit || "score", amount(world.scores[chosen])]];
  if (body) facts.push(["at", `${body.x}, ${body.y}`]);
  if (body && body.face >= 0) facts.push(["faces", FACES[body.face] ?? "?"]);
  if (body && body.flags & FLAG_TIMED_OUT) facts.push(["hit", "timed out"]);
  if (state.cost) {
    facts.push(["tokens", amount(state.cost.tokens)], ["model calls", amount(state.cost.calls)]);
    if (state.cost.usd > 0) facts.push(["cost", `US$ ${state.cost.usd.toFixed(state.cost.usd < 1 ? 4 : 2)}`]);
  }
  return (
    <section class="panel seat" aria-label={`Selected: ${info.name}`} data-testid="seat-panel" data-seat={info.name}>
      <div class="panel-head">
        <SeatMark seat={chosen} name={info.name} size={26} />
        <h2>{info.name}</h2>
        <StatusMark status={state.status} />
        <button type="button" class="icon end" aria-label="Select nobody" title="Select nobody (Esc)" onClick={() => store.select(null)}>×</button>
      </div>
      {state.reason && <p class="reason">{state.reason}</p>}
      {info.agent && <code class="command">{info.agent}</code>}
      <dl class="facts num">{facts.map(([name, value]) => <div key={name}><dt>{name}</dt><dd>{value}</dd></div>)}</dl>
      {world.files && <SeatFiles store={store} seat={chosen} />}
      {thought && <blockquote data-testid="last-thought"><span>{thought.text}</span><footer class="num">thought at tick {amount(thought.tick)}</footer></blockquote>}
    </section>
  );
}

/** What it holds, waits for and has published last; nothing while there is none of it. */
function SeatFiles({ store, seat }: { store: Store; seat: number }) {
  const files = store.world.value.files;
  const own = files && filesOfSeat(files, seat, WROTE);
  const clock = useClock(store.mode.value === "live" && store.phase.value !== "ended" && (own?.holds.length ?? 0) > 0);
  if (!own) return null;
  return (
    <dl class="facts own-files" data-testid="seat-files">
      {own.holds.length > 0 && <div><dt>holds</dt><dd class="claims">{own.holds.map((lease) => <Holder key={lease.token} lease={lease} store={store} clock={clock} named />)}</dd></div>}
      {own.waits.length > 0 && <div><dt>waits for</dt><dd class="claims">{own.waits.map((wait) => <Waiter key={wait.path} wait={wait} store={store} named />)}</dd></div>}
      {own.wrote.length > 0 && <div><dt>wrote last</dt><dd>{own.wrote.map((file) => <span key={file.path} class="version" title={`tick ${amount(file.tick)}`}>{isGone(file) ? <s>{file.path}</s> : file.path}@{file.version}</span>)}</dd></div>}
    </dl>
  );
}
