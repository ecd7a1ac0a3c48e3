/**
 * Writes the tables and numbers of README.md that come from elsewhere: the recorded benchmark, the
 * variables, the reasons.
 *
 * Exit codes: 0 written, or up to date; 1 out of date (with --check), or it could not be written;
 * 2 wrong usage.
 */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";

import { repositoryRoot } from "../../deploy/local/repository.js";
import { fillBlocks, readmeBlocks } from "./readme-blocks.js";
import { resultSchema } from "./result.js";

const USAGE = `usage: node dist/bench/report/readme.js [--check] [FILE]

Fills in what stands between the markers of README.md (or FILE).
  --check   changes nothing; exit code 1 if something is out of date`;

async function main(): Promise<number> {
  let options;
  try {
    const check = { type: "boolean" } as const;
    options = parseArgs({ allowPositionals: true, options: { check } });
    if (options.positionals.length > 1) throw new Error("one file at most");
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n\n${USAGE}\n`);
    return 2;
  }
  const file = options.positionals[0] ?? join(repositoryRoot(), "README.md");
  const recorded = join(repositoryRoot(), "bench", "results", "added-latency.json");
  const result: unknown = JSON.parse(await readFile(recorded, "utf8"));
  const before = await readFile(file, "utf8");
  const { document, outOfDate } = fillBlocks(before, readmeBlocks(resultSchema.parse(result)));
  if (outOfDate.length === 0) {
    process.stdout.write("README: up to date\n");
    return 0;
  }
  if (options.values.check === true) {
    process.stderr.write(`README: out of date: ${outOfDate.join(", ")}; npm run readme mends it\n`);
    return 1;
  }
  await writeFile(file, document);
  process.stdout.write(`README: written: ${outOfDate.join(", ")}\n`);
  return 0;
}

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`README: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
