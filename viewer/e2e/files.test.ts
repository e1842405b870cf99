// Shared files on the page, by a real run: who holds, who waits, what was written; back in time; wide and narrow.
import type { ChildProcess } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { Browser, Locator, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { end, launch, ROOT, said, SHOTS, startWithLink, until } from "./page";

const WRITERS = ["writer-1", "writer-2", "writer-3"];
/** A place for the writers, so that the files stand beside a map. */
const GRID = `[space]\nkind = "grid"\nmap = "map.txt"\n[space.legend]\n"." = { spawn = "ground" }\n`;

let browser: Browser;
let binary: string;
const folders: string[] = [];
const running: ChildProcess[] = [];
const errors: string[] = [];

beforeAll(async () => {
  binary = resolve(process.env["FORMICARIUM_BIN"] ?? join(ROOT, "../target/release/formicarium"));
  if (!existsSync(binary)) throw new Error(`no host at ${binary}: run \`cargo build --release\` first, or set FORMICARIUM_BIN`);
  browser = await launch();
});
afterAll(async () => {
  await browser?.close();
  for (const child of running) await end(child, "SIGKILL");
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/** Three writers of one book, until they are told to stop. */
async function start(grid: boolean): Promise<{ link: string; run: string }> {
  const folder = mkdtempSync(join(tmpdir(), "formicarium-files-"));
  folders.push(folder);
  const book = join(folder, "book");
  mkdirSync(join(book, "tree"), { recursive: true });
  cpSync(join(ROOT, "e2e/book"), join(book, "casts"), { recursive: true });
  writeFileSync(join(book, "tree/toc.md"), "# The book\n\n1. Ants\n");
  writeFileSync(join(book, "tree/chapter-1.md"), "Ants\n");
  writeFileSync(join(book, "tree/draft.md"), "To be thrown away.\n");
  writeFileSync(join(book, "map.txt"), "......\n......\n......\n");
  const seats = `[[seat]]\nname = "writer"\ncount = 3\n${grid ? 'spawn = "ground"\n' : ""}`;
  writeFileSync(join(book, "scenario.toml"), `format = 1\nname = "book"\ntitle = "One book"\nsummary = "Three write one book."\ncast = "three"\n[time]\nmode = "lockstep"\ndeadline_ms = 20000\nticks = 0\n${grid ? GRID : '[space]\nkind = "none"\n'}${seats}[mechanic.report.words]\nfields.count = { min = 0, max = 9, doc = "words" }\n[files]\ntree = "tree"\nlease_ms = 300000\n[[metric]]\nname = "refusals"\nevents = "file.refused"\nover = "run"\n`);
  writeFileSync(join(book, "casts/three.toml"), `format = 1\n${WRITERS.map((name) => `[[seat]]\nmatch = "${name}"\ncommand = "python3"\nargs = ["player.py", "${name}.sh"]\nfiles = ["player.py", "${name}.sh"]\n`).join("")}`);
  const run = join(folder, "run");
  const { child, link } = await startWithLink(binary, ["run", book, "--port", "0", "--isolation", "advisory", "--out", run], resolve(ROOT, ".."));
  running.push(child);
  return { link, run };
}

async function open(link: string, size: { width: number; height: number }, more: { colorScheme?: "light" | "dark"; reducedMotion?: "reduce" } = {}): Promise<Page> {
  const page = await browser.newPage({ viewport: size, colorScheme: "light", ...more });
  page.on("pageerror", (error) => errors.push(String(error)));
  await page.goto(link);
  await until(page, { connection: "live", phase: "running" }, 40_000);
  return page;
}
const row = (page: Page, path: string): Locator => page.getByTestId("files").locator(`tr[data-path="${path}"]`);
const holds = (page: Page, path: string, holder: string, waiting: string): Promise<void> => row(page, path).and(page.locator(`[data-holder="${holder}"][data-waiting="${waiting}"]`)).waitFor({ timeout: 20_000 });

describe("in the map's place", () => {
  let page: Page;
  let run: string;
  let link: string;
  beforeAll(async () => {
    const started = await start(false);
    ({ link, run } = started);
    page = await open(started.link, { width: 1280, height: 800 });
  });

  test("the table says what stands there, who wrote it, who holds it and who waits", async () => {
    await until(page, { tickAtLeast: 12 });
    await holds(page, "chapter-1.md", "writer-1", "writer-2");
    await holds(page, "notes/**", "writer-3", "");
    expect(await row(page, "chapter-1.md").getAttribute("data-version")).toBe("4");
    expect(await row(page, "chapter-1.md").innerText()).toMatch(/writer-1\s+\d+ s|writer-1\s+\d+ min/);
    expect(await row(page, "toc.md").getAttribute("data-seat")).toBe("writer-2");
    expect(await row(page, "draft.md").innerText()).toContain("deleted");
    expect(await row(page, "count.sh").innerText()).toContain("exec");
    const files = page.getByTestId("files");
    expect(await files.getAttribute("data-count")).toBe("4");
    // The writer who does not ask is refused, and the one who waits, each once.
    expect(await files.getAttribute("data-refused")).toBe("2");
    expect(await page.getByTestId("matrix").count()).toBe(0);
    await page.screenshot({ path: join(SHOTS, "files.png") });
  });

  test("the log has words for it", async () => {
    const lines = page.getByTestId("timeline").locator('[data-kind="files"]');
    const said = (await lines.allInnerTexts()).map((line) => line.replace(/\s+/g, " "));
    for (const words of ["writer-1 leases chapter-1.md", "writer-3 was refused chapter-1.md: writer-1 holds it", "writer-2 publishes toc.md@2", "writer-3 deletes draft.md@2"]) {
      expect(said.some((line) => line.includes(words)), `${words} in ${said.join("; ")}`).toBe(true);
    }
  });

  test("a seat's panel says what it holds, waits for and wrote", async () => {
    await row(page, "chapter-1.md").locator(".claim.waits").click();
    const panel = page.getByTestId("seat-panel");
    expect(await panel.getAttribute("data-seat")).toBe("writer-2");
    expect(await page.getByTestId("seat-files").innerText()).toMatch(/waits for\s+chapter-1\.md[\s\S]*wrote last\s+toc\.md@2/);
    await row(page, "chapter-1.md").locator(".claim.held").click();
    expect(await page.getByTestId("seat-files").innerText()).toMatch(/holds\s+chapter-1\.md[\s\S]*wrote last\s+chapter-1\.md@4/);
    await page.screenshot({ path: join(SHOTS, "files-seat.png") });
    await page.keyboard.press("Escape");
  });

  test("a lease that is given back goes to who waits, and the past stays as it was", async () => {
    const before = (await said(page)).tick;
    writeFileSync(join(run, "agents/writer-1/workspace/give-back"), "");
    await holds(page, "chapter-1.md", "writer-2", "");
    await row(page, "chapter-1.md").and(page.locator('[data-version="5"]')).waitFor({ timeout: 20_000 });
    expect(await row(page, "chapter-1.md").getAttribute("data-seat")).toBe("writer-2");
    await page.getByTestId("pause").click();
    await page.getByTestId("scrub").fill(String(before));
    await holds(page, "chapter-1.md", "writer-1", "writer-2");
    expect(await row(page, "chapter-1.md").getAttribute("data-version")).toBe("4");
    expect(await row(page, "chapter-1.md").innerText()).toContain("since tick");
    await page.getByTestId("scrub").fill("1");
    await page.locator('[data-testid=files][data-held="0"]').waitFor({ timeout: 20_000 });
    expect(await row(page, "draft.md").getAttribute("data-version")).toBe("1");
    await page.getByTestId("live").click();
    await holds(page, "chapter-1.md", "writer-2", "");
  });

  test("it is a table for those who do not see it, and reached by keyboard", async () => {
    const table = page.getByRole("region", { name: "Table of files" });
    await table.focus();
    expect(await table.getByRole("columnheader").allInnerTexts()).toHaveLength(5);
    expect(await table.getByRole("rowheader").count()).toBeGreaterThanOrEqual(5);
    const byPath = table.getByRole("button", { name: "Path" });
    await byPath.focus();
    await page.keyboard.press("Enter");
    expect(await table.getByRole("columnheader").first().getAttribute("aria-sort")).toBe("ascending");
    const unclaimed = await page.getByTestId("files").locator('tbody tr[data-holder=""]').evaluateAll((rows) => rows.map((each) => (each as HTMLElement).dataset["path"]!));
    expect(unclaimed).toEqual([...unclaimed].sort());
  });

  test("360 px wide it stands above the rest, and does not stick to the top", async () => {
    const narrow = await open(link, { width: 360, height: 740 });
    await holds(narrow, "chapter-1.md", "writer-2", "");
    expect(await narrow.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(360);
    await narrow.screenshot({ path: join(SHOTS, "files-phone-lead.png") });
    await narrow.close();
  });

  test("the end leaves nobody with a lease", async () => {
    const child = running.at(-1)!;
    child.kill("SIGINT");
    await page.locator('[data-testid=files][data-held="0"]').waitFor({ timeout: 20_000 });
  });
});

describe("beside a map", () => {
  let link: string;
  beforeAll(async () => { ({ link } = await start(true)); });

  test("the files have a panel of their own, and it flashes only where motion is wanted", async () => {
    const still = await open(link, { width: 1280, height: 800 }, { reducedMotion: "reduce", colorScheme: "dark" });
    const page = await open(link, { width: 1280, height: 800 });
    // Writer 3 publishes at each tick from the seventh on.
    await until(page, { tickAtLeast: 12 });
    const flashes = (each: Page): Promise<number> => row(each, "notes/words.md").evaluate((element) => element.getAnimations().length);
    await expect.poll(() => flashes(page), { timeout: 10_000 }).toBe(1);
    expect(await flashes(still)).toBe(0);
    await page.getByTestId("map").waitFor();
    await holds(page, "chapter-1.md", "writer-1", "writer-2");
    await page.screenshot({ path: join(SHOTS, "files-map.png") });
    await still.screenshot({ path: join(SHOTS, "files-map-dark.png") });
    await still.close();
    await page.close();
  });

  test("360 px wide: nothing sticks out, and the table is whole", async () => {
    const page = await open(link, { width: 360, height: 740 });
    await page.getByTestId("files").waitFor();
    await holds(page, "chapter-1.md", "writer-1", "writer-2");
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(360);
    const table = page.getByRole("region", { name: "Table of files" });
    expect(await table.evaluate((element) => element.scrollWidth - element.clientWidth)).toBeLessThanOrEqual(0);
    // A chip is whole, in one line.
    const chip = (await row(page, "chapter-1.md").locator(".claim.held").boundingBox())!;
    expect([chip.height < 30, chip.x + chip.width <= 360]).toEqual([true, true]);
    await page.getByTestId("files").scrollIntoViewIfNeeded();
    await page.screenshot({ path: join(SHOTS, "files-phone.png"), fullPage: true });
    await page.close();
  });
});

test("nothing failed in the page", () => {
  expect(errors).toEqual([]);
});
