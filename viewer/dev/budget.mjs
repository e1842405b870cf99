// Fails the build when the page grows past its budget or names a foreign address. Reads dist/ only.
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

const BUDGET_BYTES = 150 * 1024;
const files = readdirSync("dist", { recursive: true }).map((name) => join("dist", String(name))).filter((path) => statSync(path).isFile());
let total = 0;
for (const path of files) {
  const bytes = readFileSync(path);
  const size = gzipSync(bytes, { level: 9 }).length;
  total += size;
  console.log(`${String(size).padStart(7)} B gzipped  ${path}`);
  const foreign = /(?:src|href)=["']?https?:|url\(["']?https?:|@import/.exec(bytes.toString("utf8"));
  if (foreign) throw new Error(`${path} asks for something from elsewhere: ${foreign[0]}`);
}
console.log(`${String(total).padStart(7)} B gzipped in all (budget ${BUDGET_BYTES})`);
if (total > BUDGET_BYTES) process.exit(1);
