// Faults of the feed as a spectator meets them, against the scripted feed: each has its own words on the page, and the
// page comes back by itself where it can.
import type { ChildProcess } from "node:child_process";
import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { end, launch, places, ROOT, said, SHOTS, startWithLink, until } from "./page";

let browser: Browser;
let feed: ChildProcess;
let link: string;
let page: Page;
const errors: string[] = [];

beforeAll(async () => { browser = await launch(); });
afterAll(async () => { await browser?.close(); });

async function open(args: readonly string[] = [], size = { width: 1280, height: 800 }): Promise<void> {
  ({ child: feed, link } = await startWithLink("node", ["dev/fake-feed.mjs", "--port", "0", "--hz", "20", ...args], ROOT));
  page = await browser.newPage({ viewport: size });
  page.on("pageerror", (error) => errors.push(String(error)));
}
const doIt = (what: string): Promise<Response> => fetch(new URL(`/do/${what}`, link));
const banner = (): Promise<string> => page.getByTestId("banner").innerText();

beforeEach(() => { errors.length = 0; });
afterEach(async () => {
  await page?.close();
  await end(feed, "SIGKILL");
  expect(errors).toEqual([]);
});

describe("on a map", () => {
  test("a gap is marked and the picture goes on", async () => {
    await open();
    await page.goto(link);
    const { tick } = await until(page, { connection: "live", tickAtLeast: 5 });
    await doIt("gap");
    await until(page, { connection: "live", tickAtLeast: tick + 20 });
    await page.locator(".gaps i").first().waitFor({ state: "attached" });
    // Stepping back over the gap lands on received ticks only.
    await page.keyboard.press("Space");
    const marks = await page.locator(".gaps i").first().getAttribute("title");
    const [from, to] = (marks ?? "").match(/\d+/g)!.map(Number) as [number, number];
    await page.getByTestId("scrub").fill(String(to + 1));
    await page.locator(`[data-testid=app][data-tick="${to + 1}"]`).waitFor();
    await page.keyboard.press("ArrowLeft");
    expect((await said(page)).tick).toBe(from - 1);
  });

  test.each(["garbage", "bad-json"])("after %s it starts over with a fresh picture", async (what) => {
    await open();
    await page.goto(link);
    const { tick } = await until(page, { connection: "live", tickAtLeast: 3 });
    await doIt(what);
    await until(page, { connection: "reconnecting" });
    expect(await banner()).toMatch(/Starting over/);
    await until(page, { connection: "live", tickAtLeast: tick + 10 });
  });

  test("a broken connection comes back, and a new epoch begins anew", async () => {
    await open();
    await page.goto(link);
    const { tick } = await until(page, { connection: "live", tickAtLeast: 3 });
    await doIt("drop");
    await until(page, { connection: "reconnecting" });
    await until(page, { connection: "live", tickAtLeast: tick + 5 });
    await doIt("new-epoch");
    await until(page, { connection: "reconnecting" });
    await until(page, { connection: "live" });
    expect(Number(await page.getByTestId("scrub").getAttribute("min"))).toBeGreaterThan(tick);
  });

  test("silence is called what it is", async () => {
    await open();
    await page.goto(link);
    await until(page, { connection: "live", tickAtLeast: 3 });
    await doIt("silent");
    await until(page, { connection: "stale" });
    expect(await banner()).toMatch(/heartbeat/i);
    expect((await page.getByTestId("connection").innerText()).trim()).toBe("No heartbeat");
  });

  test("agents in trouble stand on top, with the reason", async () => {
    await open();
    await page.goto(link);
    await until(page, { connection: "live", tickAtLeast: 3 });
    await doIt("trouble");
    await page.locator('[data-status="exited"]').first().waitFor();
    const rows = page.getByTestId("agents").locator("button[data-seat]");
    expect(await rows.nth(0).getAttribute("data-status")).toBe("exited");
    expect(await rows.nth(0).innerText()).toContain("its process ended with status 1");
    expect(await page.getByTestId("trouble").innerText()).toBe("3 of 8 in trouble");
    await page.screenshot({ path: join(SHOTS, "trouble.png") });
  });

  test("the end of a run is told, and its ticks stay", async () => {
    await open();
    await page.goto(link);
    await until(page, { connection: "live", tickAtLeast: 10 });
    await doIt("end");
    const { tick } = await until(page, { connection: "ended", phase: "ended" });
    expect(await banner()).toContain("The run ended at tick");
    await page.keyboard.press("ArrowLeft");
    expect((await said(page)).tick).toBe(tick - 1);
  });
});

test("a wrong token and no token say where the link is", async () => {
  await open();
  await page.goto(link.replace(/token=.*/, "token=wrong"));
  await until(page, { connection: "bad-token" });
  expect(await page.getByTestId("welcome").innerText()).toMatch(/formicarium run/);
  await page.close();
  page = await browser.newPage();
  await page.goto(link.replace(/#.*/, ""));
  await until(page, { connection: "no-token" });
  expect(await page.getByTestId("welcome").innerText()).toMatch(/formicarium run/);
});

test("a reload keeps the token, and a query token works and is removed", async () => {
  await open();
  await page.goto(link.replace("#token", "?token"));
  await until(page, { connection: "live", tickAtLeast: 1 });
  expect(page.url()).not.toContain("token");
  await page.reload();
  await until(page, { connection: "live", tickAtLeast: 1 });
});

test("a game without a place shows who met whom", async () => {
  await open(["--game", "axelrod"]);
  await page.goto(link);
  await until(page, { connection: "live", tickAtLeast: 30 });
  expect(await page.getByTestId("matrix").locator("td.num").count()).toBeGreaterThan(20);
  expect(await page.getByTestId("matrix").locator(".bar").count()).toBe(7);
  expect(await page.getByTestId("map").count()).toBe(0);
});

test("360 px wide: nothing sticks out, and everything is there", async () => {
  await open([], { width: 360, height: 740 });
  await page.goto(link);
  await until(page, { connection: "live", tickAtLeast: 5 });
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(360);
  for (const part of ["map", "pause", "live", "agents", "timeline", "charts", "about"]) await page.getByTestId(part).waitFor({ state: "attached" });
  expect(Object.keys(await places(page))).toHaveLength(8);
  await page.screenshot({ path: join(SHOTS, "phone.png") });
});
