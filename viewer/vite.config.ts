// Builds the page into dist/: one HTML file and hashed assets with relative addresses, so that the host can embed it
// and serve it from anywhere. Knows nothing of the page itself.
import { defineConfig } from "vite";

export default defineConfig({
  base: "./",
  build: { target: "es2022", assetsInlineLimit: 0, modulePreload: { polyfill: false }, reportCompressedSize: true },
  server: { proxy: { "/feed": { target: process.env.FORMICARIUM_FEED ?? "http://127.0.0.1:7979", ws: true } } },
});
