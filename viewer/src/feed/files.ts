// The shared files on the feed (docs/feed-protocol.md, "Shared files"): shapes, and reading them from columns. Must not
// know what the page does with them.
import { FeedError } from "./error";
import { list, loose, number, object } from "./json";

export const KIND_GONE = 0;
export const KIND_PROGRAM = 2;
export const KIND_FOLDER = 3;

export interface FilePath { readonly path: string; readonly version: number; readonly kind: number; readonly bytes: number; /** -1: the host. */ readonly seat: number; readonly tick: number }
/** `path` is empty for the whole tree. */
export interface Scope { readonly path: string; readonly subtree: boolean }
export interface Lease extends Scope { readonly token: number; readonly seat: number; readonly since: number; /** Milliseconds since 1970, by the host's clock. */ readonly untilMs: number }
export interface Wait extends Scope { readonly seat: number; readonly since: number }
export interface FileTotals { readonly count: number; readonly bytes: number; readonly held: number; readonly waits: number; readonly published: number; readonly refused: number }

export interface FilesSnapshot { readonly paths: readonly FilePath[]; readonly leases: readonly Lease[]; readonly waiting: readonly Wait[]; readonly totals: FileTotals }
export interface FilesDelta { readonly upd: readonly FilePath[]; readonly del: readonly string[]; readonly leases: readonly Lease[] | null; readonly waiting: readonly Wait[] | null; readonly totals: FileTotals }

/** How a scope is written everywhere: `notes/**` is a folder with all in it, `**` the whole tree. */
export const scopeName = (scope: Scope): string => (scope.path === "" ? "**" : scope.subtree ? `${scope.path}/**` : scope.path);

type Row = Readonly<Record<string, number>> & { readonly path: string };

/** Rows of columns: `path` is text, all others are whole numbers. */
function rows(value: unknown, names: readonly string[], what: string): Row[] {
  if (value === undefined || value === null) return [];
  const columns = object(value, what);
  return list(columns["path"]).map((path, row) => {
    if (typeof path !== "string") throw new FeedError(`${what}.path[${row}] is not a text`);
    const out: Record<string, unknown> = { path };
    for (const name of names) {
      const cell = list(columns[name])[row];
      if (typeof cell !== "number" || !Number.isSafeInteger(cell)) throw new FeedError(`${what}.${name}[${row}] is not a whole number`);
      out[name] = cell;
    }
    return out as Row;
  });
}

const paths = (value: unknown, what: string): FilePath[] => rows(value, ["version", "kind", "bytes", "seat", "tick"], what) as unknown as FilePath[];
const leases = (value: unknown, what: string): Lease[] =>
  rows(value, ["token", "subtree", "seat", "since", "until_ms"], what).map((row) => ({ path: row.path, subtree: row["subtree"] === 1, token: row["token"]!, seat: row["seat"]!, since: row["since"]!, untilMs: row["until_ms"]! }));
const waits = (value: unknown, what: string): Wait[] =>
  rows(value, ["subtree", "seat", "since"], what).map((row) => ({ path: row.path, subtree: row["subtree"] === 1, seat: row["seat"]!, since: row["since"]! }));

function totals(value: unknown): FileTotals {
  const root = loose(value);
  const at = (name: string): number => number(root[name]);
  return { count: at("count"), bytes: at("bytes"), held: at("held"), waits: at("waits"), published: at("published"), refused: at("refused") };
}

/** Null where the scenario shares no files. */
export function readFiles(value: unknown): FilesSnapshot | null {
  if (value === undefined || value === null) return null;
  const root = object(value, "snapshot.files");
  return {
    paths: paths(root["paths"], "snapshot.files.paths"), leases: leases(root["leases"], "snapshot.files.leases"),
    waiting: waits(root["waiting"], "snapshot.files.waiting"), totals: totals(root),
  };
}

/** Null where nothing changed. */
export function readFilesDelta(value: unknown): FilesDelta | null {
  if (value === undefined || value === null) return null;
  const root = object(value, "tick.files");
  return {
    upd: paths(root["upd"], "tick.files.upd"), del: list(root["del"]).filter((path) => typeof path === "string"),
    leases: root["leases"] == null ? null : leases(root["leases"], "tick.files.leases"),
    waiting: root["waiting"] == null ? null : waits(root["waiting"], "tick.files.waiting"), totals: totals(root),
  };
}
