// The keyboard of the page. Leaves keys alone while somebody types or uses a control that needs them.
import type { Store } from "../state/store";
import { view } from "./view";

export const KEYS: readonly { readonly keys: string; readonly does: string }[] = [
  { keys: "Space", does: "pause or play the picture (the world goes on)" },
  { keys: "← →", does: "one tick back or forward; with Shift, ten" },
  { keys: "Home", does: "the oldest tick this page still has" },
  { keys: "L or End", does: "jump to live" },
  { keys: "+ − 0", does: "zoom in, zoom out, show the whole map" },
  { keys: "W A S D", does: "move the map" },
  { keys: "[ ]", does: "select the agent before or after" },
  { keys: "Esc", does: "select nobody" },
  { keys: "?", does: "this help" },
];

export function listenToKeys(window: Window, store: Store): void {
  // A button pressed with the mouse must not keep the space bar for itself afterwards.
  window.addEventListener("click", (event) => {
    if (event.detail > 0 && event.target instanceof Element) event.target.closest("button")?.blur();
  });
  window.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const target = event.target instanceof HTMLElement ? event.target : null;
    const tag = target?.tagName;
    if (tag === "TEXTAREA" || tag === "SELECT" || (tag === "INPUT" && (target as HTMLInputElement).type !== "range")) return;
    if (event.key === " " && (tag === "BUTTON" || tag === "SUMMARY")) return;
    if (act(event, store)) event.preventDefault();
  });
}

function act(event: KeyboardEvent, store: Store): boolean {
  const shown = store.world.value.tick;
  switch (event.key) {
    case " ": store.toggle(); return true;
    case "ArrowLeft": if (event.shiftKey) store.seek(shown - 10); else store.back(); return true;
    case "ArrowRight": if (event.shiftKey) store.seek(shown + 10); else store.forward(); return true;
    case "Home": store.seek(store.range.value.first); return true;
    case "End": case "l": case "L": store.live(); return true;
    case "+": case "=": view.zoom(1.25); return true;
    case "-": case "_": view.zoom(0.8); return true;
    case "0": view.fit(); return true;
    case "w": view.pan(0, -1); return true;
    case "a": view.pan(-1, 0); return true;
    case "s": view.pan(0, 1); return true;
    case "d": view.pan(1, 0); return true;
    case "[": selectBeside(store, -1); return true;
    case "]": selectBeside(store, 1); return true;
    case "Escape":
      if (store.help.value) store.help.value = false;
      else store.selected.value = null;
      return true;
    case "?": store.help.value = !store.help.value; return true;
    default: return false;
  }
}

function selectBeside(store: Store, by: number): void {
  const count = store.fixed.value?.seats.length ?? 0;
  if (count === 0) return;
  const now = store.selected.value;
  store.selected.value = now === null ? (by > 0 ? 0 : count - 1) : (now + by + count) % count;
}
