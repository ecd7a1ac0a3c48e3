/**
 * Writes the tables and numbers of README.md and docs/ that come from elsewhere: the recorded
 * benchmark, the variables, the reasons and problems.
 *
 * Exit codes: 0 written, or up to date; 1 out of date (with --check), or it could not be written;
 * 2 wrong usage.
 */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";

import { repositoryRoot } from "../../dev/repository.js";
import { documentBlocks, fillBlocks } from "./readme-blocks.js";
import { readRecorded } from "./recorded.js";

const USAGE = `usage: node dist/bench/report/readme.js [--check]

Fills in what stands between the markers of README.md and of the documents in docs/.
  --check   changes nothing; exit code 1 if something is out of date`;

async function main(): Promise<number> {
  let check: boolean;
  try {
    const { values } = parseArgs({ options: { check: { type: "boolean" } } });
    check = values.check === true;
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n\n${USAGE}\n`);
    return 2;
  }
  let exitCode = 0;
  for (const [path, blocks] of Object.entries(documentBlocks(await readRecorded()))) {
    const file = join(repositoryRoot(), path);
    const { document, outOfDate } = fillBlocks(await readFile(file, "utf8"), blocks);
    if (outOfDate.length === 0) {
      process.stdout.write(`${path}: up to date\n`);
    } else if (check) {
      const names = outOfDate.join(", ");
      process.stderr.write(`${path}: out of date: ${names}; npm run readme mends it\n`);
      exitCode = 1;
    } else {
      await writeFile(file, document);
      process.stdout.write(`${path}: written: ${outOfDate.join(", ")}\n`);
    }
  }
  return exitCode;
}

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`documents: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
