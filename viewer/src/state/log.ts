// Which events the timeline shows, in which group and in which words; and the bounded log of them. Must not know the DOM.
import type { FeedEvent } from "../feed/wire";

export type Group = "messages" | "thoughts" | "answers" | "tools" | "rejections" | "trouble" | "files" | "deeds" | "logs";
export const GROUPS: readonly { readonly group: Group; readonly title: string; readonly shown: boolean; readonly hint: string }[] = [
  { group: "messages", title: "Messages", shown: true, hint: "what agents say" },
  { group: "thoughts", title: "Thoughts", shown: true, hint: "what agents think, seen by spectators only" },
  { group: "answers", title: "Answers", shown: true, hint: "what the scenario asks agents, and what they answer" },
  { group: "tools", title: "Tool calls", shown: true, hint: "which tools agents of models call" },
  { group: "rejections", title: "Refusals", shown: true, hint: "actions the world refused, and why" },
  { group: "trouble", title: "Trouble", shown: true, hint: "late, absent, crashed, garbage: and whose fault" },
  { group: "files", title: "Files", shown: true, hint: "what becomes of the shared files: published, refused, leased" },
  { group: "deeds", title: "Deeds", shown: false, hint: "what happens in the world" },
  { group: "logs", title: "Logs", shown: false, hint: "what agents write to their log" },
];

export interface LogLine { readonly id: number; readonly group: Group; readonly event: FeedEvent }

/** The group of an event, or null for those too frequent or too small to read one by one. */
export function groupOf(name: string): Group | null {
  switch (name) {
    case "speech.said": return "messages";
    case "agent.thought": return "thoughts";
    case "agent.answer": return "answers";
    case "agent.tool": return "tools";
    case "action.rejected": return "rejections";
    case "agent.fault": case "agent.status": case "agent.budget": case "seat.late": case "seat.absent": case "seat.back":
    case "fault.struck": case "fault.over": return "trouble";
    case "agent.log": return "logs";
    case "file.published": case "file.refused": case "file.leased": case "file.released": case "file.expired": return "files";
    case "harvest.grew": return null;
    default: return "deeds";
  }
}

/** Words of docs/agent-protocol.md for why a path was not published. */
const REFUSED = new Set(["leased", "token", "conflict", "base", "kind", "limit", "name", "special", "unreadable", "together"]);

/** What an agent is told of a path that was not published: `file.refused` says the same to spectators. */
function isToldAsFile(event: FeedEvent): boolean {
  return event.name === "action.rejected" && event.data["action"] === "publish" && REFUSED.has(String(event.data["code"]));
}

const LINES_A_GROUP = 1_500;

export class Log {
  #lines = new Map<Group, LogLine[]>();
  #id = 0;
  #last = -1;

  constructor(private readonly linesAGroup = LINES_A_GROUP) {}

  /** Takes the events of one tick. What happened between two ticks comes with the later one and may bear the earlier. */
  push(tick: number, events: readonly FeedEvent[]): void {
    this.#take(tick, events);
  }

  /** Takes a snapshot's recent events, of which those of ticks already received are left out. */
  catchUp(tick: number, recent: readonly FeedEvent[]): void {
    const seen = this.#last;
    this.#take(tick, recent.filter((event) => event.tick > seen));
  }

  #take(tick: number, events: readonly FeedEvent[]): void {
    for (const event of events) {
      const group = groupOf(event.name);
      if (!group || isToldAsFile(event)) continue;
      const lines = this.#lines.get(group) ?? [];
      lines.push({ id: this.#id++, group, event });
      if (lines.length > this.linesAGroup * 1.2) lines.splice(0, lines.length - this.linesAGroup);
      this.#lines.set(group, lines);
    }
    this.#last = Math.max(this.#last, tick);
  }

  /** The newest `most` lines of these groups up to a tick, oldest first; of one seat if given. */
  upTo(tick: number, groups: ReadonlySet<Group>, seat: number | null, most: number): LogLine[] {
    const found: LogLine[] = [];
    for (const group of groups) {
      const lines = this.#lines.get(group) ?? [];
      let taken = 0;
      for (let at = lines.length - 1; at >= 0 && taken < most; at--) {
        const line = lines[at]!;
        if (line.event.tick > tick) continue;
        if (seat !== null && line.event.seat !== seat && line.event.other !== seat) continue;
        found.push(line);
        taken += 1;
      }
    }
    found.sort((a, b) => a.id - b.id);
    return found.slice(-most);
  }

  clear(): void {
    this.#lines.clear();
    this.#last = -1;
  }
}

/** An event as a sentence without its subject; `name` turns a seat's index to its name. */
export function sentence(event: FeedEvent, name: (seat: number | null) => string): string {
  const data = event.data;
  switch (event.name) {
    case "speech.said": case "agent.thought": case "agent.log": case "agent.answer": return event.text ?? "";
    case "action.rejected": {
      const action = typeof data["action"] === "string" ? data["action"] : "an action";
      const why = event.text ?? (typeof data["reason"] === "string" ? data["reason"] : typeof data["code"] === "string" ? data["code"] : "no reason given");
      return `${action} was refused: ${why}`;
    }
    case "sanction.hit": return `hits ${name(event.other)} with the beam`;
    case "harvest.ate": return event.at ? `eats at ${event.at[0]}, ${event.at[1]}` : "eats";
    case "matrix.played": {
      const choice = typeof data["choice"] === "string" ? data["choice"] : typeof data["mine"] === "string" ? data["mine"] : "plays";
      return `${choice} against ${name(event.other)}`;
    }
    case "fault.struck": return `is struck by a fault of the scenario: ${event.text ?? ""}`;
    case "fault.over": return `is rid of the fault ${event.text ?? ""}`;
    case "seat.thinking": return `pays for its thinking: its act takes effect ${String(data["ticks"])} ticks later`;
    case "seat.late": return event.text ?? "was late";
    case "seat.absent": return event.text ?? "is absent: nobody waits for it until it speaks";
    case "seat.back": return event.text ?? "is back";
    case "file.published": {
      const version = typeof data["version"] === "number" ? `@${data["version"]}` : "";
      const verb = data["change"] === "created" ? "creates" : data["change"] === "deleted" ? "deletes" : "publishes";
      return `${verb} ${event.text ?? "a file"}${version}${data["merged"] === true ? " (merged)" : ""}`;
    }
    case "file.refused": return `was refused ${event.text ?? "a file"}: ${refusal(event, name)}`;
    case "file.leased": return `leases ${event.text ?? "a file"}`;
    case "file.released": return `gives ${event.text ?? "a file"} back`;
    case "file.expired": return `holds ${event.text ?? "a file"} no more: its lease is over`;
    default: return event.text ?? event.name;
  }
}

/** Why a publish or a lease was refused, shorter than the agent itself is told. */
function refusal(event: FeedEvent, name: (seat: number | null) => string): string {
  const { code, reason } = event.data;
  if (code === "leased" && event.other !== null) return `${name(event.other)} holds it`;
  if (code === "conflict") return "others changed the same lines meanwhile";
  if (code === "token") return "its lease was over";
  if (code === "together") return "another path of the same publish was refused";
  return typeof reason === "string" && reason !== "" ? reason : typeof code === "string" ? code : "no reason given";
}
