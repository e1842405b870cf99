// What the browser tests share: a Chromium, a page with its token, and what the page says of itself. No assertions here.
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import type { Browser, Page } from "playwright-core";

export const SHOTS = fileURLToPath(new URL("shots/", import.meta.url));
export const ROOT = fileURLToPath(new URL("../", import.meta.url));

export async function launch(): Promise<Browser> {
  const executablePath = process.env["CHROMIUM"] ?? "/usr/bin/chromium";
  if (!existsSync(executablePath)) throw new Error(`no Chromium at ${executablePath}: install it from the system's packages (Debian: chromium) or set CHROMIUM to its path`);
  mkdirSync(SHOTS, { recursive: true });
  return chromium.launch({
    executablePath,
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
}

/** Starts a program and waits until it prints a line that holds a link; its output so far is in the error if it does not. */
export async function startWithLink(command: string, args: readonly string[], cwd: string, env: NodeJS.ProcessEnv = process.env): Promise<{ child: ChildProcess; link: string }> {
  const child = spawn(command, args, { cwd, env, stdio: ["ignore", "pipe", "pipe"] });
  let printed = "";
  const link = await new Promise<string>((found, failed) => {
    const timer = setTimeout(() => failed(new Error(`no link within 30 s; printed:\n${printed}`)), 30_000);
    const read = (chunk: Buffer): void => {
      printed += chunk.toString("utf8");
      const hit = /http:\/\/[^\s"]+#token=[^\s"\u001b]+/.exec(printed);
      if (!hit) return;
      clearTimeout(timer);
      found(hit[0]);
    };
    child.stdout.on("data", read);
    child.stderr.on("data", read);
    child.once("error", (error) => failed(error));
    child.once("exit", (code) => failed(new Error(`ended with ${code} before it printed a link; printed:\n${printed}`)));
  });
  return { child, link };
}

export function end(child: ChildProcess | undefined, signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
  return new Promise((done) => {
    if (!child || child.exitCode !== null || child.signalCode !== null) return done();
    child.once("exit", () => done());
    child.kill(signal);
  });
}

export interface Said { readonly phase: string; readonly mode: string; readonly connection: string; readonly tick: number; readonly head: number }

export async function said(page: Page): Promise<Said> {
  return page.getByTestId("app").evaluate((element) => {
    const data = (element as HTMLElement).dataset;
    return { phase: data["phase"] ?? "", mode: data["mode"] ?? "", connection: data["connection"] ?? "", tick: Number(data["tick"]), head: Number(data["head"]) };
  });
}

/** Waits until the page itself says so: state attributes, never a fixed sleep. */
export async function until(page: Page, what: Partial<Record<"phase" | "mode" | "connection", string>> & { tickAtLeast?: number }, timeout = 20_000): Promise<Said> {
  await page.waitForFunction((want) => {
    const data = document.querySelector<HTMLElement>("[data-testid=app]")?.dataset;
    if (!data) return false;
    for (const key of ["phase", "mode", "connection"] as const) if (want[key] !== undefined && data[key] !== want[key]) return false;
    return want.tickAtLeast === undefined || Number(data["tick"]) >= want.tickAtLeast;
  }, what, { timeout, polling: 50 });
  return said(page);
}

/** Places of all agents as the list has them. */
export async function places(page: Page): Promise<Record<string, string>> {
  return page.getByTestId("agents").locator("button[data-seat]").evaluateAll((rows) =>
    Object.fromEntries(rows.map((row) => [(row as HTMLElement).dataset["seat"], `${(row as HTMLElement).dataset["x"]},${(row as HTMLElement).dataset["y"]}`])));
}

/** How many different colours a coarse grid of the map's pixels has: an empty canvas has one. */
export async function coloursOnMap(page: Page): Promise<number> {
  return page.getByTestId("map").evaluate((element) => {
    const canvas = element as HTMLCanvasElement;
    const pixels = canvas.getContext("2d")!.getImageData(0, 0, canvas.width, canvas.height).data;
    const seen = new Set<number>();
    for (let at = 0; at < pixels.length; at += 4 * 37) seen.add((pixels[at]! << 16) | (pixels[at + 1]! << 8) | pixels[at + 2]!);
    return seen.size;
  });
}
