// Metric values over time, bounded by thinning the older half. Must not know the DOM or how they are drawn.

const MOST_POINTS = 4_000;

export class Series {
  ticks: number[] = [];
  /** One row a metric. */
  values: (number | null)[][] = [];

  /** Adds the values of one tick; earlier or equal ticks are ignored. */
  push(tick: number, row: readonly (number | null)[]): void {
    const last = this.ticks.at(-1);
    if (last !== undefined && tick <= last) return;
    while (this.values.length < row.length) this.values.push(this.ticks.map(() => null));
    this.ticks.push(tick);
    this.values.forEach((column, metric) => column.push(row[metric] ?? null));
    if (this.ticks.length > MOST_POINTS) this.#thin();
  }

  /** A snapshot's history: only what is newer than what is here. */
  merge(ticks: readonly number[], rows: readonly (readonly (number | null)[])[]): void {
    ticks.forEach((tick, at) => this.push(tick, rows[at] ?? []));
  }

  clear(): void {
    this.ticks = [];
    this.values = [];
  }

  #thin(): void {
    const half = this.ticks.length >> 1;
    const keep = (_: unknown, at: number): boolean => at >= half || at % 2 === 0;
    this.ticks = this.ticks.filter(keep);
    this.values = this.values.map((column) => column.filter(keep));
  }
}
