// Browser tests: a real Chromium against the real host and the scripted feed. One file at a time; no retries.
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: { include: ["e2e/**/*.test.ts"], environment: "node", testTimeout: 60_000, hookTimeout: 60_000, fileParallelism: false, retry: 0 },
});
