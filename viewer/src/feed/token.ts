// The spectator's token: from the link into the tab's session storage and out of the address bar. Nothing else knows
// where it lives.
const KEY = "formicarium.token";

/** Takes the token out of `#token=` or `?token=`; a reload of the same tab finds it again. */
export function takeToken(location: Location, history: History, storage: Storage | null): string | null {
  const url = new URL(location.href);
  const fragment = new URLSearchParams(url.hash.replace(/^#/, ""));
  const given = fragment.get("token") ?? url.searchParams.get("token");
  if (given) {
    fragment.delete("token");
    url.searchParams.delete("token");
    url.hash = fragment.toString();
    history.replaceState(null, "", url.pathname + url.search + (url.hash === "#" ? "" : url.hash));
    try { storage?.setItem(KEY, given); } catch { /* a full or forbidden storage only costs the reload */ }
    return given;
  }
  try { return storage?.getItem(KEY) ?? null; } catch { return null; }
}
