// The page on a run with real Claude Code seats against the stand-in of the model: thoughts, tool calls and costs are
// shown as they come. Says that it was not run where Claude Code is not installed (`make agents`).
import type { ChildProcess } from "node:child_process";
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { Browser } from "playwright-core";
import { afterAll, expect, test } from "vitest";
import { end, launch, ROOT, SHOTS, startWithLink, until } from "./page";

const binary = resolve(process.env["FORMICARIUM_BIN"] ?? join(ROOT, "../target/release/formicarium"));
const installed = existsSync(resolve(binary, "../../agents/bin/claude"));
if (!installed) console.warn("NOT TESTED: Claude Code is not installed; run `make agents`");

const running: ChildProcess[] = [];
let browser: Browser | undefined;
let out = "";

afterAll(async () => {
  await browser?.close();
  for (const child of running.reverse()) await end(child);
  if (out) rmSync(out, { recursive: true, force: true });
});

async function standin(): Promise<string> {
  const child = spawn("python3", [resolve(ROOT, "../tests/standin/standin.py"), "--port", "0", "--play"], { stdio: ["ignore", "pipe", "inherit"] });
  running.push(child);
  return new Promise((found) => child.stdout.once("data", (chunk: Buffer) => found(chunk.toString("utf8").trim().split(" ").pop()!)));
}

test.runIf(installed)("what models think, call and cost is on the page as it comes", async () => {
  out = mkdtempSync(join(tmpdir(), "formicarium-models-"));
  const env = { ...process.env, ANTHROPIC_BASE_URL: await standin(), ANTHROPIC_API_KEY: "key-of-the-test" };
  const args = ["run", "scenarios/commons", "--cast", "claude", "--set", "harvesters=2", "--ticks", "0", "--port", "0", "--isolation", "advisory", "--out", join(out, "run")];
  const { child, link } = await startWithLink(binary, args, resolve(ROOT, ".."), env);
  running.push(child);
  browser = await launch();
  const page = await browser.newPage({ viewport: { width: 1280, height: 800 }, colorScheme: "light" });
  await page.goto(link);
  await until(page, { connection: "live", tickAtLeast: 12 }, 60_000);
  const lines = page.getByTestId("timeline");
  await lines.locator('[data-kind="tools"]').first().waitFor({ timeout: 20_000 });
  expect(await lines.locator('[data-kind="tools"] .words').first().innerText()).toMatch(/^(move|wait|say|turn) \{/);
  await lines.locator('[data-kind="thoughts"]').first().waitFor({ timeout: 20_000 });
  await page.getByTestId("agent-0").click();
  const panel = page.getByTestId("seat-panel");
  expect(await panel.innerText()).toMatch(/tokens\s*[\d.,]+/);
  expect(await panel.innerText()).toMatch(/model calls\s*\d+/);
  expect(await panel.innerText()).toContain("claude-sonnet-4-5");
  await page.screenshot({ path: join(SHOTS, "models.png") });
}, 120_000);
