// The page's state in one place: feed -> timeline, log and series -> signals. Signals change at most once a picture, so
// that a fast world does not rebuild the page a thousand times a second. Must not know how anything is drawn.
import { batch, computed, signal } from "@preact/signals";
import { FeedClient } from "../feed/client";
import type { Connection, Handlers } from "../feed/client";
import { readRecording } from "../feed/recorded";
import type { EndMessage, Frame, Static, Welcome } from "../feed/wire";
import { GROUPS, Log } from "./log";
import type { Group } from "./log";
import { Playback } from "./playback";
import type { Mode } from "./playback";
import { EMPTY } from "./reducer";
import type { World } from "./reducer";
import { Series } from "./series";
import { LIMITS, Timeline } from "./timeline";

export interface Range { readonly first: number; readonly last: number; readonly gaps: readonly (readonly [number, number])[] }

/** `whole`: the page shows a recorded run from end to end, all of which is kept. */
export function createStore(clock: () => number = () => performance.now(), whole = false) {
  const timeline = new Timeline(whole ? { ...LIMITS, ticks: Infinity, bytes: Infinity } : LIMITS);
  const playback = new Playback(timeline, whole);
  const log = new Log(whole ? Infinity : undefined);
  const series = new Series();

  const connection = signal<Connection>({ phase: "connecting", detail: "", attempt: 0, retryAt: null });
  const welcome = signal<Welcome | null>(null);
  const fixed = signal<Static | null>(null);
  const phase = signal("starting");
  const tps = signal(0);
  const ended = signal<EndMessage | null>(null);
  const world = signal<World>(EMPTY);
  const head = signal<World>(EMPTY);
  const mode = signal<Mode>(playback.mode);
  const speed = signal(1);
  const range = signal<Range>({ first: 0, last: 0, gaps: [] });
  const selected = signal<number | null>(null);
  const groups = signal<ReadonlySet<Group>>(new Set(GROUPS.filter((group) => group.shown).map((group) => group.group)));
  /** Raised whenever the log or the series grew. */
  const version = signal(0);
  const help = signal(false);

  const seatName = (seat: number | null): string => (seat === null ? "somebody" : (fixed.value?.seats[seat]?.name ?? `seat ${seat}`));
  const troubled = computed(() => head.value.seats.flatMap((seat, index) => (isTrouble(seat.status) || (seat.reason !== null && seat.status !== "ended") ? [index] : [])));

  const sharesFiles = computed(() => world.value.files !== null);
  /** Where there is neither a map nor a match, the files are what there is to see. */
  const filesLead = computed(() => sharesFiles.value && !fixed.value?.space && world.value.pairs.size === 0);

  let dirty = true;
  let client: FeedClient | null = null;

  function forget(): void {
    timeline.clear();
    log.clear();
    series.clear();
    playback.reset();
    ended.value = null;
    fixed.value = null;
    dirty = true;
  }

  function takeFrame(frame: Frame): void {
    if (frame.kind === "static") {
      fixed.value = frame.body;
      return;
    }
    if (frame.kind === "unknown") return;
    if (frame.kind === "snapshot") {
      timeline.push({ kind: "snapshot", tick: frame.tick, body: frame.body }, frame.bytes);
      series.merge(frame.body.history.ticks, frame.body.history.values);
      series.push(frame.tick, frame.body.metrics);
      log.catchUp(frame.tick, frame.body.recent);
    } else {
      const now = timeline.push({ kind: "tick", tick: frame.tick, body: frame.body }, frame.bytes);
      series.push(frame.tick, now.metrics);
      log.push(frame.tick, frame.body.events);
    }
    playback.arrived(clock());
    dirty = true;
  }

  /** Once a picture: moves a replay on and lets the page see what came since the last one. */
  function flush(): void {
    if (playback.advance(clock())) dirty = true;
    if (!dirty) return;
    dirty = false;
    batch(() => {
      const shown = playback.shown;
      world.value = shown.now;
      mode.value = shown.mode;
      head.value = timeline.head;
      range.value = { first: timeline.first, last: timeline.last, gaps: timeline.gaps };
      version.value += 1;
    });
  }

  const act = (change: () => void) => (): void => {
    change();
    dirty = true;
    flush();
  };

  const handlers: Handlers = {
    connection: (state) => { connection.value = state; },
    welcome: (message, fresh) => {
      if (fresh) forget();
      welcome.value = message;
      phase.value = message.phase;
    },
    frame: takeFrame,
    status: (message) => {
      phase.value = message.phase;
      tps.value = message.tps;
      if (message.seats.length > 0) {
        timeline.push({ kind: "status", seats: message.seats });
        playback.arrived(clock());
        dirty = true;
      }
    },
    gap: () => { dirty = true; },
    // What came before the end is shown no later than the end.
    end: (message) => batch(act(() => {
      ended.value = message;
      phase.value = "ended";
    })),
  };

  return {
    timeline, playback, log, series,
    connection, welcome, fixed, phase, tps, ended, world, head, mode, speed, range, selected, groups, version, help, troubled, sharesFiles, filesLead,
    seatName, flush,
    connect(url: string, token: string): void {
      client = new FeedClient(url, token, handlers);
      client.start();
    },
    /** Takes a run that stands in the page, and plays it from its first tick. */
    async open(base64: string): Promise<void> {
      const state: Connection = { phase: "recorded", detail: "It is on its way out of this file.", attempt: 0, retryAt: null };
      connection.value = state;
      try {
        await readRecording(base64, handlers);
        act(() => {
          playback.seek(timeline.first, clock());
          playback.play(clock());
        })();
      } catch (error) {
        connection.value = { ...state, phase: "damaged", detail: `${error instanceof Error ? error.message : String(error)}. Export the run again.` };
      }
    },
    retryNow(): void { client?.retryNow(); },
    toggle: act(() => playback.toggle(clock())),
    live: act(() => playback.live(clock())),
    forward: act(() => playback.step(1, clock())),
    back: act(() => playback.step(-1, clock())),
    seek(tick: number): void { act(() => playback.seek(tick, clock()))(); },
    setSpeed(value: number): void {
      playback.speed = value;
      speed.value = value;
    },
    select(seat: number | null): void { selected.value = seat !== null && selected.value === seat ? null : seat; },
    toggleGroup(group: Group): void {
      const next = new Set(groups.value);
      if (!next.delete(group)) next.add(group);
      groups.value = next;
    },
  };
}

export type Store = ReturnType<typeof createStore>;

/** Whether a status is one that a spectator should be told of. */
export function isTrouble(status: string): boolean {
  return status === "late" || status === "absent" || status === "exited";
}
