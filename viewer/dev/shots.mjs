// Pictures of the page against the scripted feed, for looking at while designing. Development only.
import { spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { chromium } from "playwright-core";

export const CHROMIUM_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const out = process.argv[2] ?? "e2e/shots";
mkdirSync(out, { recursive: true });
const fake = async (port, ...args) => {
  const child = spawn("node", ["dev/fake-feed.mjs", "--port", String(port), ...args], { stdio: ["ignore", "pipe", "inherit"] });
  await new Promise((done) => child.stdout.once("data", done));
  return child;
};
const feeds = [await fake(7991), await fake(7992, "--game", "axelrod"), await fake(7993, "--starting", "400")];
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: CHROMIUM_FLAGS });
const shot = async (name, { port = 7991, dark = false, width = 1280, height = 800, token = "dev", act, wait = 1500, full = false } = {}) => {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: dark ? "dark" : "light" });
  const page = await context.newPage();
  page.on("pageerror", (error) => console.error(name, error));
  page.on("console", (line) => { if (line.type() === "error") console.error(name, line.text()); });
  await page.goto(`http://127.0.0.1:${port}/${token ? `#token=${token}` : ""}`);
  await page.waitForTimeout(wait);
  if (act) await act(page);
  await page.screenshot({ path: `${out}/${name}.png`, fullPage: full });
  await context.close();
};
const doIt = (what, port = 7991) => fetch(`http://127.0.0.1:${port}/do/${what}`);
await new Promise((done) => setTimeout(done, 9_000));
await shot("light", { wait: 4000 });
await shot("dark", { dark: true, wait: 3000 });
await shot("phone", { width: 360, height: 740, wait: 2500 });
await shot("phone-dark-full", { width: 360, height: 740, dark: true, wait: 2500, full: true });
await shot("matrix-light", { port: 7992 });
await shot("matrix-dark", { port: 7992, dark: true, act: (page) => page.getByTestId("agent-3").click() });
await shot("matrix-phone", { port: 7992, width: 360, height: 740 });
await shot("starting", { port: 7993 });
await shot("bad-token", { token: "nope" });
await shot("no-token", { token: "", dark: true });
await shot("help", { act: (page) => page.keyboard.press("?") });
await doIt("trouble");
await shot("trouble-selected", { act: async (page) => {
  await page.getByTestId("agent-2").click();
  await doIt("gap");
  await page.waitForTimeout(3500);
  await page.keyboard.press("Space");
  await page.keyboard.press("ArrowLeft");
  await page.waitForTimeout(600);
} });
await shot("reconnecting", { dark: true, act: async (page) => {
  feeds[0].kill("SIGKILL");
  await page.waitForTimeout(2500);
} });
await browser.close();
for (const feed of feeds) feed.kill("SIGKILL");
