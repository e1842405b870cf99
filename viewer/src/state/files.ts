// The shared files as they stood at a tick, and what a page lists of them. Pure and persistent like the reducer it is a
// part of. Must not know the DOM or time.
import { KIND_FOLDER, KIND_GONE, scopeName } from "../feed/files";
import type { FilePath, FilesDelta, FilesSnapshot, FileTotals, Lease, Wait } from "../feed/files";

/** `changed` is the tick in which this page saw it change; null: it has not since the page came. */
export interface FileEntry extends FilePath { readonly changed: number | null }

export interface Files {
  readonly paths: ReadonlyMap<string, FileEntry>;
  readonly leases: readonly Lease[];
  readonly waiting: readonly Wait[];
  readonly totals: FileTotals;
}

export function filesOf(body: FilesSnapshot | null): Files | null {
  if (!body) return null;
  return { paths: new Map(body.paths.map((path) => [path.path, { ...path, changed: null }])), leases: body.leases, waiting: body.waiting, totals: body.totals };
}

const NONE: Files = { paths: new Map(), leases: [], waiting: [], totals: { count: 0, bytes: 0, held: 0, waits: 0, published: 0, refused: 0 } };

export function filesAfter(before: Files | null, tick: number, delta: FilesDelta | null): Files | null {
  if (!delta) return before;
  const old = before ?? NONE;
  let paths = old.paths;
  if (delta.upd.length > 0 || delta.del.length > 0) {
    const next = new Map(paths);
    for (const path of delta.del) next.delete(path);
    // The scenario's own files are there from the start.
    for (const path of delta.upd) next.set(path.path, { ...path, changed: path.seat < 0 ? null : tick });
    paths = next;
  }
  return { paths, leases: delta.leases ?? old.leases, waiting: delta.waiting ?? old.waiting, totals: delta.totals };
}

/** A row of the table: a file, a scope that is held or waited for, or both. */
export interface FileRow { readonly name: string; readonly file: FileEntry | null; readonly leases: readonly Lease[]; readonly waiting: readonly Wait[] }
export type Order = "newest" | "path";

/** Files by the wanted order, those that somebody holds or waits for on top; folders only where they are held. */
export function rowsOf(files: Files, order: Order): FileRow[] {
  const rows = new Map<string, { name: string; file: FileEntry | null; leases: Lease[]; waiting: Wait[] }>();
  const at = (name: string, file: FileEntry | null) => {
    const row = rows.get(name) ?? { name, file, leases: [], waiting: [] };
    rows.set(name, row);
    return row;
  };
  for (const file of files.paths.values()) if (file.kind !== KIND_FOLDER) at(file.path, file);
  for (const lease of files.leases) at(scopeName(lease), null).leases.push(lease);
  for (const wait of files.waiting) at(scopeName(wait), null).waiting.push(wait);
  const claimed = (row: FileRow): number => (row.leases.length + row.waiting.length > 0 ? 0 : 1);
  const age = (row: FileRow): number => (order === "path" ? 0 : -(row.file?.tick ?? 0));
  return [...rows.values()].sort((a, b) => claimed(a) - claimed(b) || age(a) - age(b) || (a.name < b.name ? -1 : 1));
}

/** What a seat holds, waits for and has published last. */
export function filesOfSeat(files: Files, seat: number, most: number): { readonly holds: readonly Lease[]; readonly waits: readonly Wait[]; readonly wrote: readonly FileEntry[] } {
  const wrote = [...files.paths.values()].filter((file) => file.seat === seat && file.kind !== KIND_FOLDER);
  wrote.sort((a, b) => b.tick - a.tick || (a.path < b.path ? -1 : 1));
  return { holds: files.leases.filter((lease) => lease.seat === seat), waits: files.waiting.filter((wait) => wait.seat === seat), wrote: wrote.slice(0, most) };
}

export const isGone = (file: FilePath): boolean => file.kind === KIND_GONE;
