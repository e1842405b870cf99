// The page on a live run of the real host: agents move, somebody speaks, pause, scrub and live work, and the page says so
// when the host dies. Needs the host's binary (FORMICARIUM_BIN) with the built page in it, and a Chromium.
import type { ChildProcess } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { coloursOnMap, end, launch, places, ROOT, said, SHOTS, startWithLink, until } from "./page";

let browser: Browser;
let page: Page;
let host: ChildProcess | undefined;
let out: string;
const errors: string[] = [];
const elsewhere: string[] = [];

beforeAll(async () => {
  const binary = resolve(process.env["FORMICARIUM_BIN"] ?? join(ROOT, "../target/release/formicarium"));
  if (!existsSync(binary)) throw new Error(`no host at ${binary}: run \`cargo build --release\` first, or set FORMICARIUM_BIN`);
  out = mkdtempSync(join(tmpdir(), "formicarium-page-"));
  const started = await startWithLink(binary, ["run", "scenarios/commons", "--mode", "realtime", "--hz", "8", "--ticks", "0", "--port", "0", "--isolation", "advisory", "--out", join(out, "run")], resolve(ROOT, ".."));
  host = started.child;
  browser = await launch();
  page = await browser.newPage({ viewport: { width: 1280, height: 800 }, colorScheme: "light" });
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("request", (request) => { if (!["127.0.0.1", "localhost"].includes(new URL(request.url()).hostname) && !request.url().startsWith("data:")) elsewhere.push(request.url()); });
  await page.goto(started.link);
  await until(page, { connection: "live", phase: "running", tickAtLeast: 1 }, 40_000);
});

afterAll(async () => {
  await browser?.close();
  await end(host, "SIGKILL");
  if (out) rmSync(out, { recursive: true, force: true });
});

test("the token is gone from the address bar", async () => {
  expect(page.url()).not.toContain("token");
});

test("agents move, and the map is drawn", async () => {
  const before = await places(page);
  expect(Object.keys(before)).toHaveLength(8);
  const { tick } = await said(page);
  await until(page, { tickAtLeast: tick + 12 });
  const after = await places(page);
  expect(Object.keys(before).filter((seat) => before[seat] !== after[seat]).length).toBeGreaterThanOrEqual(2);
  expect(await coloursOnMap(page)).toBeGreaterThan(8);
});

test("a message appears", async () => {
  const message = page.getByTestId("timeline").locator('[data-kind="messages"]').first();
  await message.waitFor({ timeout: 45_000 });
  expect((await message.locator(".words").innerText()).length).toBeGreaterThan(2);
  await page.screenshot({ path: join(SHOTS, "live.png") });
});

test("the page says which cast plays and how to try others", async () => {
  const about = await page.getByTestId("about").innerText();
  expect(about).toContain("restrained");
  for (const cast of ["greedy", "mixed"]) expect(about).toContain(`--cast ${cast}`);
});

test("pause stops the picture, not the world; scrub goes back; live comes back", async () => {
  await page.getByTestId("pause").click();
  const paused = await until(page, { mode: "paused" });
  await page.waitForFunction((head) => Number(document.querySelector<HTMLElement>("[data-testid=app]")?.dataset["head"]) >= head + 8, paused.head, { timeout: 20_000 });
  expect((await said(page)).tick).toBe(paused.tick);

  const scrub = page.getByTestId("scrub");
  const first = Number(await scrub.getAttribute("min"));
  const middle = Math.round((first + paused.tick) / 2);
  await scrub.fill(String(middle));
  await page.locator(`[data-testid=app][data-tick="${middle}"]`).waitFor();
  expect(await said(page)).toMatchObject({ mode: "paused", tick: middle });
  const then = await places(page);
  await page.keyboard.press("ArrowRight");
  expect((await said(page)).tick).toBe(middle + 1);
  await page.keyboard.press("ArrowLeft");
  expect((await said(page)).tick).toBe(middle);
  expect(await places(page)).toEqual(then);

  await page.getByTestId("live").click();
  const live = await until(page, { mode: "live" });
  expect(live.tick).toBeGreaterThan(paused.tick);
});

test("a click selects an agent and shows who it is", async () => {
  await page.getByTestId("agent-2").click();
  const panel = page.getByTestId("seat-panel");
  expect(await panel.getAttribute("data-seat")).toBe("harvester-3");
  expect(await panel.innerText()).toContain("restrained");
  await page.keyboard.press("Escape");
  await panel.waitFor({ state: "detached" });
});

test("when the host dies, the page says so and keeps what it has", async () => {
  await end(host, "SIGKILL");
  await until(page, { connection: "reconnecting" });
  expect(await page.getByTestId("banner").innerText()).toMatch(/host/i);
  const { tick } = await said(page);
  await page.keyboard.press("ArrowLeft");
  expect((await said(page)).tick).toBe(tick - 1);
});

test("nothing failed in the page, and nothing was asked from elsewhere", () => {
  expect(errors).toEqual([]);
  expect(elsewhere).toEqual([]);
});
