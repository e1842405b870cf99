// Every metric as a small chart of its own over the same ticks, with a shared cursor; a click shows that tick.
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import type { MetricInfo, Static } from "../feed/wire";
import type { Store } from "../state/store";
import { amount } from "./mark";

const REDRAW_MS = 250;
const INKS = ["--chart-1", "--chart-2", "--chart-3", "--chart-4"];

export function Charts({ store, fixed }: { store: Store; fixed: Static }) {
  if (fixed.metrics.length === 0) return null;
  return (
    <section class="panel charts" aria-label="Metrics" data-testid="charts">
      {fixed.metrics.map((metric, index) => <Chart key={metric.name} store={store} metric={metric} index={index} />)}
    </section>
  );
}

function Chart({ store, metric, index }: { store: Store; metric: MetricInfo; index: number }) {
  const box = useRef<HTMLDivElement>(null);

  useEffect(() => {
    const element = box.current!;
    const dark = window.matchMedia("(prefers-color-scheme: dark)");
    let plot: uPlot | null = null;
    let count = -1;
    let shown = -1;

    const data = (): uPlot.AlignedData => [store.series.ticks, store.series.values[index] ?? store.series.ticks.map(() => null)];
    const build = (): void => {
      plot?.destroy();
      const style = getComputedStyle(element);
      const ink = (name: string): string => style.getPropertyValue(name).trim();
      const font = `10px ${style.fontFamily}`;
      const axis = { stroke: ink("--ink-soft"), font, ticks: { show: false }, grid: { stroke: ink("--line"), width: 1 } };
      const line = ink(INKS[index % INKS.length]!);
      plot = new uPlot({
        width: Math.max(60, element.clientWidth), height: Math.max(60, element.clientHeight),
        legend: { show: false }, padding: [6, 8, 0, 0],
        cursor: { sync: { key: "formicarium" }, drag: { x: false, y: false }, points: { size: 6, fill: line } },
        scales: { x: { time: false }, y: { range: (_, low, high) => spread(low, high) } },
        axes: [
          { ...axis, size: 22, space: 60, values: (_, ticks) => ticks.map((tick) => (Number.isInteger(tick) ? amount(tick) : "")) },
          { ...axis, size: 38, space: 26, values: (_, values) => values.map((value) => short(value)) },
        ],
        series: [{}, { stroke: line, width: 1.75, fill: `${line}22`, points: { show: false }, spanGaps: true }],
        hooks: {
          draw: [(self) => {
            if (store.mode.peek() === "live") return;
            const x = self.valToPos(store.world.peek().tick, "x", true);
            if (x < self.bbox.left || x > self.bbox.left + self.bbox.width) return;
            self.ctx.save();
            self.ctx.strokeStyle = ink("--accent");
            self.ctx.lineWidth = 2;
            self.ctx.beginPath();
            self.ctx.moveTo(x, self.bbox.top);
            self.ctx.lineTo(x, self.bbox.top + self.bbox.height);
            self.ctx.stroke();
            self.ctx.restore();
          }],
        },
      }, data(), element);
      plot.over.addEventListener("click", () => {
        const left = plot?.cursor.left ?? -1;
        if (plot && left >= 0) store.seek(plot.posToVal(left, "x"));
      });
    };
    build();
    const resize = new ResizeObserver(() => plot?.setSize({ width: Math.max(60, element.clientWidth), height: Math.max(60, element.clientHeight) }));
    resize.observe(element);
    dark.addEventListener("change", build);
    const timer = setInterval(() => {
      const last = store.series.ticks.at(-1) ?? -1;
      const at = store.mode.peek() === "live" ? -1 : store.world.peek().tick;
      if (last !== count) plot?.setData(data());
      else if (at !== shown) plot?.redraw(false);
      count = last;
      shown = at;
    }, REDRAW_MS);
    return () => {
      clearInterval(timer);
      resize.disconnect();
      dark.removeEventListener("change", build);
      plot?.destroy();
    };
  }, [store, index, metric.name]);

  const value = store.world.value.metrics[index];
  return (
    <figure class="chart">
      <figcaption><span title={metric.name}>{metric.title}</span><b class="num" data-testid={`metric-${metric.name}`}>{amount(value)}</b>{metric.unit && <span class="sub">{metric.unit}</span>}</figcaption>
      <div class="plot" ref={box} />
    </figure>
  );
}

/** A range that never collapses and starts at zero where the values are near it. */
function spread(low: number | null, high: number | null): [number, number] {
  if (low === null || high === null || !Number.isFinite(low) || !Number.isFinite(high)) return [0, 1];
  const floor = low >= 0 && low < high * 0.6 ? 0 : low;
  if (floor === high) return [floor - 1, high + 1];
  const room = (high - floor) * 0.06;
  return [floor === 0 ? 0 : floor - room, high + room];
}

function short(value: number): string {
  const size = Math.abs(value);
  if (size >= 1e6) return `${amount(value / 1e6)}M`;
  if (size >= 1e4) return `${amount(value / 1e3)}k`;
  return amount(value);
}
