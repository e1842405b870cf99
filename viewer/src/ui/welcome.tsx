// What stands in the middle of the page while there is no world to show: which of the reasons it is, and what to do.
import type { Store } from "../state/store";

const TITLES: Readonly<Record<string, string>> = {
  "no-token": "This page needs its link",
  "bad-token": "This link is not for this run",
  refused: "The host refused this page",
  connecting: "Calling the host…",
  recorded: "Unpacking the run…",
  damaged: "This file cannot be played",
  reconnecting: "The host does not answer",
};

export function Welcome({ store }: { store: Store }) {
  const state = store.connection.value;
  const token = state.phase === "no-token" || state.phase === "bad-token";
  return (
    <main class="welcome">
      <div class="card" data-testid="welcome">
        <h1>{TITLES[state.phase] ?? "Waiting for the first picture…"}</h1>
        <p>{state.detail || "The first picture of the world is on its way."}</p>
        {token && (
          <>
            <pre><code>formicarium run commons{"\n"}  watch at http://127.0.0.1:7878/#token=…</code></pre>
            <p class="sub">A token belongs to one run of the host. It is never sent to a server in the address, and this page takes it out of the address bar.</p>
          </>
        )}
        {state.phase === "reconnecting" && <button type="button" class="primary" onClick={() => store.retryNow()}>Try now</button>}
      </div>
    </main>
  );
}
