// Wires the page: token or recording, store, feed, keys, first render. Nothing else happens here.
import { render } from "preact";
import { takeToken } from "./feed/token";
import { WHERE_THE_LINK_IS } from "./feed/client";
import { createStore } from "./state/store";
import { App } from "./ui/app";
import { listenToKeys } from "./ui/keys";
import "uplot/dist/uPlot.min.css";
import "./style/tokens.css";
import "./style/page.css";
import "./style/parts.css";

/** What `formicarium export --to html` puts into the page. */
const recording = document.getElementById("recording");
const store = createStore(undefined, recording !== null);

function storage(): Storage | null {
  try { return window.sessionStorage; } catch { return null; }
}

function start(): void {
  if (recording) {
    void store.open(recording.textContent);
    return;
  }
  const token = takeToken(window.location, window.history, storage());
  if (token === null) {
    store.connection.value = { phase: "no-token", detail: WHERE_THE_LINK_IS, attempt: 0, retryAt: null };
    return;
  }
  const feed = new URL("feed", window.location.href);
  feed.protocol = feed.protocol === "https:" ? "wss:" : "ws:";
  feed.search = "";
  feed.hash = "";
  store.connect(feed.href, token);
}

start();
listenToKeys(window, store);
// Pasting the printed link into this tab only changes the fragment: take the new token by starting over.
window.addEventListener("hashchange", () => {
  if (window.location.hash.includes("token=")) window.location.reload();
});
render(<App store={store} />, document.getElementById("app")!);
