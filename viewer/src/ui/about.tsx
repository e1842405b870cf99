// The corner that says what is played, by which cast, and how to try another one.
import { useState } from "preact/hooks";
import type { Static } from "../feed/wire";
import type { Store } from "../state/store";

export function About({ store, fixed }: { store: Store; fixed: Static }) {
  const run = store.welcome.value?.run || fixed.run;
  const others = fixed.casts.filter((name) => name !== fixed.cast);
  const best = fixed.score.best === "lowest" ? "lowest wins" : "highest wins";
  return (
    <section class="panel about" aria-label="Cast" data-testid="about">
      <div class="panel-head">
        <h2>Cast <span class="tag">{fixed.cast ?? "own agents"}</span></h2>
        <span class="sub end">{fixed.score.unit ? `${fixed.score.unit}, ${best}` : best}</span>
      </div>
      {others.length > 0 && (
        <>
          <p class="sub">Try another cast: click to copy its command.</p>
          <ul class="commands">{others.map((name) => <Command key={name} name={name} text={`${fixed.command} --cast ${name}`} />)}</ul>
        </>
      )}
      {others.length <= 1 && fixed.scenario.summary && <p class="summary">{fixed.scenario.summary}</p>}
      <p class="sub small">{[run ? `run ${run}` : "", fixed.seed !== "" ? `seed ${fixed.seed}` : "", fixed.isolation ? `isolation: ${fixed.isolation}` : ""].filter(Boolean).join(" · ")}</p>
    </section>
  );
}

function Command({ name, text }: { name: string; text: string }) {
  const [copied, setCopied] = useState(false);
  const copy = (): void => {
    void navigator.clipboard?.writeText(text).then(() => {
      setCopied(true);
      setTimeout(() => setCopied(false), 1_500);
    }, () => undefined);
  };
  return <li><button type="button" class="command" title={`Copy this command: ${text}`} onClick={copy}><b>{name}</b><code>{text}</code><span class="sub" aria-live="polite">{copied ? "copied" : <svg width="12" height="12" viewBox="0 0 12 12" role="img" aria-label="copy"><path d="M4 4h6.500v6.500H4ZM1.500 8V1.500H8" fill="none" stroke="currentColor" stroke-width="1.400" stroke-linejoin="round" stroke-linecap="round" /></svg>}</span></button></li>;
}
