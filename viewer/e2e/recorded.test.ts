// A run exported to one file: it plays from file:// without a request, stops at its end, and can be scrubbed from end to
// end; what it shows is what the recording holds. Needs the host's binary (FORMICARIUM_BIN) with the built page in it, and
// a Chromium.
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { coloursOnMap, launch, places, ROOT, said, SHOTS, until } from "./page";

/** More than a segment of the page's timeline, and more than one keyframe. */
const TICKS = 150;

let browser: Browser;
let folder: string;
const errors: string[] = [];
const requests: string[] = [];

function host(...args: string[]): string {
  const binary = resolve(process.env["FORMICARIUM_BIN"] ?? join(ROOT, "../target/release/formicarium"));
  if (!existsSync(binary)) throw new Error(`no host at ${binary}: run \`cargo build --release\` first, or set FORMICARIUM_BIN`);
  return execFileSync(binary, args, { cwd: resolve(ROOT, ".."), encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
}

function exported(name: string, ...args: string[]): string {
  const run = join(folder, name);
  host("run", ...args, "--headless", "--isolation", "advisory", "--deadline", "60s", "--out", run);
  const { file, ticks } = JSON.parse(host("export", run, "--to", "html", "--json")) as { file: string; ticks: number };
  expect(file).toBe(`${run}.html`);
  expect(ticks).toBeGreaterThan(0);
  return file;
}

async function open(file: string): Promise<Page> {
  const page = await browser.newPage({ viewport: { width: 1280, height: 800 }, colorScheme: "light" });
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("console", (message) => { if (message.type() === "error") errors.push(message.text()); });
  page.on("request", (request) => requests.push(request.url()));
  page.on("websocket", (socket) => requests.push(socket.url()));
  await page.goto(pathToFileURL(file).href);
  return page;
}

async function seek(page: Page, tick: number): Promise<void> {
  await page.getByTestId("scrub").fill(String(tick));
  await page.waitForFunction((want) => document.querySelector<HTMLElement>("[data-testid=app]")?.dataset["tick"] === String(want), tick);
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "formicarium-film-"));
  browser = await launch();
});

afterAll(async () => {
  await browser?.close();
  if (folder) rmSync(folder, { recursive: true, force: true });
});

test("a run plays from a file, from its first tick to its last, and can be scrubbed over the whole of it", async () => {
  const file = exported("commons", "commons", "--cast", "mixed", "--seed", "1", "--ticks", String(TICKS));
  const page = await open(file);
  await until(page, { connection: "recorded", phase: "ended", mode: "playing" });
  const early = await said(page);
  expect(early.tick).toBeLessThan(TICKS / 2);
  expect(early.head).toBe(TICKS);
  await until(page, { mode: "playing", tickAtLeast: early.tick + 4 });

  await page.getByTestId("pause").click();
  await until(page, { mode: "paused" });
  await seek(page, 0);
  const start = await places(page);
  expect(Object.keys(start)).toHaveLength(8);
  expect(await coloursOnMap(page)).toBeGreaterThan(8);
  await seek(page, 77);
  expect(await places(page)).not.toEqual(start);
  await page.screenshot({ path: join(SHOTS, "recorded.png") });
  await seek(page, 0);
  expect(await places(page)).toEqual(start);

  // At its end it stands still, and the next play begins anew.
  await seek(page, TICKS - 2);
  await page.getByTestId("pause").click();
  await until(page, { mode: "paused", tickAtLeast: TICKS });
  await page.getByTestId("timeline").locator('[data-kind="messages"]').first().waitFor();
  await page.getByTestId("pause").click();
  await until(page, { mode: "playing" });
  expect((await said(page)).tick).toBeLessThan(TICKS);
  expect(await page.getByTestId("live").count()).toBe(0);

  expect(requests).toEqual([pathToFileURL(file).href]);
  expect(errors).toEqual([]);
  await page.close();
}, 90_000);

test("points at the end are those of the recording, and files are shown with who wrote them", async () => {
  const file = exported("workshop", "workshop", "--cast", "leased", "--seed", "2");
  const tables = join(folder, "tables");
  host("export", join(folder, "workshop"), "--to", "jsonl", "--out", tables);
  const rows = (name: string): Record<string, unknown>[] => readFileSync(join(tables, `${name}.jsonl`), "utf8").trim().split("\n").map((line) => JSON.parse(line) as Record<string, unknown>);
  const newest = new Map(rows("files").filter((row) => row["version"] !== null && row["input_tick"] !== null && row["kind"] === "file").map((row) => [row["path"], row]));
  const page = await open(file);
  await until(page, { connection: "recorded", phase: "ended" });
  const last = (await said(page)).head;
  await seek(page, last);
  const toc = page.locator('[data-path="toc.md"]');
  expect(await toc.getAttribute("data-version")).toBe(String(newest.get("toc.md")?.["version"]));
  expect(await toc.getAttribute("data-seat")).toBe(newest.get("toc.md")?.["seat"]);
  const points = await page.getByTestId("agents").locator("button[data-seat]").evaluateAll((found) =>
    Object.fromEntries(found.map((row) => [(row as HTMLElement).dataset["seat"], Number((row as HTMLElement).dataset["score"])])));
  expect(points).toEqual(Object.fromEntries(rows("seats").map((row) => [row["seat"], row["score"]])));
  await seek(page, 0);
  expect(await toc.getAttribute("data-version")).toBe("1");
  expect(errors).toEqual([]);
  await page.close();
}, 90_000);

test("a file that was cut off says so", async () => {
  const whole = readFileSync(join(folder, "commons.html"), "utf8");
  const at = whole.indexOf('id="recording">') + 400;
  const file = join(folder, "cut.html");
  writeFileSync(file, whole.slice(0, at) + whole.slice(whole.indexOf("</script>", at)));
  const page = await open(file);
  await until(page, { connection: "damaged" });
  expect(await page.getByTestId("welcome").innerText()).toContain("Export the run again");
  await page.close();
}, 30_000);
