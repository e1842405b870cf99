// The page's frame: where each part stands, and what stands there instead while there is nothing to show.
import { useEffect } from "preact/hooks";
import type { Store } from "../state/store";
import { About } from "./about";
import { Agents } from "./agents";
import { Charts } from "./charts";
import { Files } from "./files";
import { Banner, Header } from "./header";
import { Help } from "./help";
import { Matrix } from "./matrix";
import { SeatPanel } from "./seat";
import { Stage } from "./stage";
import { Timeline } from "./timeline";
import { Transport } from "./transport";
import { Welcome } from "./welcome";

export function App({ store }: { store: Store }) {
  // One clock for the whole page: each picture, look once for what came.
  useEffect(() => {
    let wanted = 0;
    const beat = (): void => {
      store.flush();
      wanted = requestAnimationFrame(beat);
    };
    beat();
    // A hidden tab gets no pictures; a slow beat keeps its clock and title right.
    const slow = setInterval(() => { if (document.hidden) store.flush(); }, 1_000);
    return () => {
      cancelAnimationFrame(wanted);
      clearInterval(slow);
    };
  }, [store]);

  const fixed = store.fixed.value;
  const lead = store.filesLead.value;
  useEffect(() => { document.title = fixed ? `${fixed.scenario.title} · Formicarium` : "Formicarium"; }, [fixed]);

  return (
    <div class="page" data-testid="app" data-phase={store.phase.value} data-tick={store.world.value.tick} data-head={store.head.value.tick}
      data-mode={store.mode.value} data-connection={store.connection.value.phase}>
      <Header store={store} />
      <Banner store={store} />
      {fixed ? (
        <main class="case">
          <section class={`glass ${lead ? "lead" : ""}`} aria-label={fixed.space ? "Map" : lead ? "Files" : "Matches"}>
            {fixed.space ? <Stage store={store} fixed={fixed} /> : lead ? <Files store={store} fixed={fixed} /> : <Matrix store={store} fixed={fixed} />}
            <Transport store={store} />
          </section>
          <aside class="side">
            <Agents store={store} fixed={fixed} />
            <SeatPanel store={store} fixed={fixed} />
            {!lead && store.sharesFiles.value && <Files store={store} fixed={fixed} />}
            <Timeline store={store} fixed={fixed} />
          </aside>
          <section class="foot">
            <Charts store={store} fixed={fixed} />
            <About store={store} fixed={fixed} />
          </section>
        </main>
      ) : <Welcome store={store} />}
      <Help store={store} />
    </div>
  );
}
