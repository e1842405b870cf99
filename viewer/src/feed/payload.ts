// From untrusted JSON to the typed payloads and control messages of the feed. Unknown keys are ignored (the feed grows
// within v1), missing optional ones get their empty value, and a shape that cannot be right is a FeedError.
import { FeedError } from "./error";
import { readFiles, readFilesDelta } from "./files";
import { list, loose, number, numberOrNull, object, seatOrNull, text, textOrNull } from "./json";
import type { Control, FeedEvent, SeatStatus, Snapshot, Static, Thing, TickDelta } from "./wire";

const COLUMNS = ["kind", "x", "y", "seat", "face", "flags"] as const;

function things(value: unknown, what: string): Thing[] {
  if (value === undefined || value === null) return [];
  const columns = object(value, what);
  const ids = list(columns["id"]);
  for (const name of COLUMNS) {
    const column = columns[name];
    if (ids.length > 0 && (!Array.isArray(column) || column.length !== ids.length)) {
      throw new FeedError(`${what}.${name} does not have the ${ids.length} values of ${what}.id`);
    }
  }
  const at = (name: (typeof COLUMNS)[number], row: number): number => {
    const cell = (columns[name] as unknown[])[row];
    if (typeof cell !== "number" || !Number.isInteger(cell)) throw new FeedError(`${what}.${name}[${row}] is not a whole number`);
    return cell;
  };
  return ids.map((id, row) => {
    if (typeof id !== "number" || !Number.isSafeInteger(id)) throw new FeedError(`${what}.id[${row}] is not a whole number`);
    return { id, kind: at("kind", row), x: at("x", row), y: at("y", row), seat: at("seat", row), face: at("face", row), flags: at("flags", row) };
  });
}

function events(value: unknown): FeedEvent[] {
  const out: FeedEvent[] = [];
  for (const item of list(value)) {
    const event = loose(item);
    if (typeof event["name"] !== "string" || typeof event["tick"] !== "number") continue;
    const at = list(event["at"]);
    out.push({
      tick: number(event["tick"]),
      name: event["name"],
      seat: seatOrNull(event["seat"]),
      other: seatOrNull(event["other"]),
      at: at.length === 2 && typeof at[0] === "number" && typeof at[1] === "number" ? [at[0], at[1]] : null,
      text: textOrNull(event["text"]),
      data: loose(event["data"]),
    });
  }
  return out;
}

function status(value: unknown): SeatStatus {
  const root = loose(value);
  const base = { status: text(root["status"], "starting"), reason: textOrNull(root["reason"]) };
  if (root["cost"] == null) return base;
  const cost = loose(root["cost"]);
  return { ...base, cost: { tokens: number(cost["tokens"]), calls: number(cost["calls"]), usd: number(cost["usd"]) } };
}

export function readStatic(json: unknown): Static {
  const root = object(json, "static");
  const scenario = loose(root["scenario"]);
  const space = root["space"] == null ? null : object(root["space"], "static.space");
  const width = space ? number(space["width"]) : 0;
  const height = space ? number(space["height"]) : 0;
  if (space && (!(Number.isInteger(width) && Number.isInteger(height)) || width < 1 || height < 1 || width * height > 16_000_000)) {
    throw new FeedError(`static.space of ${width} x ${height} cells cannot be drawn`);
  }
  const seed = root["seed"];
  const score = loose(root["score"]);
  return {
    scenario: { name: text(scenario["name"], "scenario"), title: text(scenario["title"], text(scenario["name"], "Scenario")), summary: text(scenario["summary"]) },
    run: text(root["run"]),
    seed: typeof seed === "number" || typeof seed === "string" ? String(seed) : "",
    params: loose(root["params"]),
    mode: text(root["mode"], "lockstep"),
    hz: numberOrNull(root["hz"]),
    cast: textOrNull(root["cast"]),
    casts: list(root["casts"]).filter((name) => typeof name === "string"),
    command: text(root["command"], `formicarium run ${text(scenario["name"])}`),
    isolation: textOrNull(root["isolation"]),
    space: space ? { width, height, torus: space["torus"] === true } : null,
    kinds: list(root["kinds"]).map((item) => {
      const kind = loose(item);
      return { name: text(kind["name"], "thing"), glyph: text(kind["glyph"]), colour: text(kind["colour"]), solid: kind["solid"] === true, opaque: kind["opaque"] === true };
    }),
    terrain: list(root["terrain"]).map((cell) => number(cell)),
    seats: list(root["seats"]).map((item, index) => {
      const seat = loose(item);
      return { name: text(seat["name"], `seat ${index}`), group: text(seat["group"]), agent: text(seat["agent"]) };
    }),
    metrics: list(root["metrics"]).map((item) => {
      const metric = loose(item);
      return { name: text(metric["name"]), title: text(metric["title"], text(metric["name"])), unit: text(metric["unit"]) };
    }),
    score: { unit: text(score["unit"]), best: text(score["best"], "highest") },
    actions: list(root["actions"]).map((item) => ({ name: text(loose(item)["name"]), description: text(loose(item)["description"]) })),
  };
}

export function readSnapshot(json: unknown): Snapshot {
  const root = object(json, "snapshot");
  const history = loose(root["history"]);
  const ticks = list(history["ticks"]).map((tick) => number(tick));
  return {
    things: things(root["things"], "snapshot.things"),
    scores: list(root["scores"]).map((score) => number(score)),
    status: list(root["status"]).map(status),
    metrics: list(root["metrics"]).map(numberOrNull),
    history: { ticks, values: list(history["values"]).map((column) => list(column).map(numberOrNull)) },
    recent: events(root["recent"]),
    files: readFiles(root["files"]),
  };
}

export function readTick(json: unknown): TickDelta {
  const root = object(json, "tick");
  const scores = loose(root["scores"]);
  const values = list(scores["score"]);
  return {
    upd: things(root["upd"], "tick.upd"),
    del: list(root["del"]).filter((id) => typeof id === "number"),
    scores: list(scores["seat"]).flatMap((seat, row) => (seatOrNull(seat) === null ? [] : [{ seat: seat as number, score: number(values[row]) }])),
    metrics: Array.isArray(root["metrics"]) ? root["metrics"].map(numberOrNull) : null,
    events: events(root["events"]),
    files: readFilesDelta(root["files"]),
  };
}

/** Reads one text message of the host. */
export function readControl(line: string): Control | FeedError {
  try {
    const root = object(JSON.parse(line), "control message");
    const type = text(root["type"]);
    switch (type) {
      case "welcome":
        if (typeof root["epoch"] !== "string") throw new FeedError("welcome without an epoch");
        return {
          type, run: text(root["run"]), epoch: root["epoch"], tick: number(root["tick"]), first_tick: number(root["first_tick"]),
          head_tick: number(root["head_tick"]), mode: text(root["mode"]), hz: numberOrNull(root["hz"]), ticks: number(root["ticks"]),
          phase: text(root["phase"], "running"), caps: list(root["caps"]).filter((cap) => typeof cap === "string"), resumed: root["resumed"] === true,
        };
      case "status":
        return {
          type, phase: text(root["phase"], "running"), head_tick: number(root["head_tick"]), head_seq: number(root["head_seq"]), tps: number(root["tps"]),
          seats: list(root["seats"]).flatMap((item) => {
            const seat = seatOrNull(loose(item)["seat"]);
            return seat === null ? [] : [{ seat, ...status(item) }];
          }),
        };
      case "gap":
        return { type, from: number(root["from"]), to: number(root["to"]), reason: text(root["reason"]) };
      case "end":
        return { type, tick: number(root["tick"]), reason: text(root["reason"], "ended"), scores: list(root["scores"]).map((score) => number(score)) };
      case "error":
        return { type, code: typeof root["code"] === "number" ? String(root["code"]) : text(root["code"]), message: text(root["message"]), retry: root["retry"] === true };
      case "pong":
        return { type, id: number(root["id"]), head_tick: number(root["head_tick"]), head_seq: number(root["head_seq"]) };
      default:
        return { type: "other", name: type };
    }
  } catch (error) {
    return error instanceof FeedError ? error : new FeedError(`control message cannot be read: ${error instanceof Error ? error.message : String(error)}`);
  }
}
