/** What every benchmark with processes of its own has in common: its end, whatever happens. */
import { mkdir, writeFile } from "node:fs/promises";
import { constants } from "node:os";
import { dirname, join } from "node:path";

import { Closing } from "../../dev/demo/demo-deployment.js";
import { repositoryRoot } from "../../dev/repository.js";
import { Progress } from "./progress.js";

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
type StopSignal = (typeof SIGNALS)[number] | "SIGPIPE";

/**
 * Measures, reports, and closes what was started. Returns the exit code: what `report` says, 1 if
 * something went wrong, 128 + n if signal n broke it off.
 */
export async function runBenchmark<Result>(
  limitMs: number,
  measure: (closing: Closing, progress: Progress) => Promise<Result>,
  report: (result: Result) => Promise<number>,
): Promise<number> {
  const closing = new Closing();
  const progress = new Progress(process.stdout);
  const breakingOff = new AbortController();
  let exitCode = 0;
  try {
    const measuring = measure(closing, progress);
    // Whatever ends the wait, what is still being measured is no longer anybody's concern.
    measuring.catch(() => undefined);
    const stopped = signalled(breakingOff.signal);
    const first = await Promise.race([
      measuring.then((result) => ({ result })),
      stopped.then((signal) => ({ signal })),
      overdue(limitMs, breakingOff.signal),
    ]);
    progress.clear();
    exitCode =
      "signal" in first ? 128 + constants.signals[first.signal] : await report(first.result);
  } catch (error) {
    progress.clear();
    process.stderr.write(`\n${error instanceof Error ? error.message : String(error)}\n`);
    exitCode = 1;
  }
  for (const fault of await closing.close()) {
    const text = fault instanceof Error ? fault.message : String(fault);
    process.stderr.write(`while stopping: ${text}\n`);
    if (exitCode === 0) exitCode = 1;
  }
  breakingOff.abort();
  return exitCode;
}

/** Writes a result as JSON and as a page, and says where. */
export async function writeResult(
  place: readonly string[],
  result: object,
  page: string,
): Promise<void> {
  const file = join(repositoryRoot(), ...place);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(`${file}.json`, `${JSON.stringify(result, undefined, 2)}\n`);
  await writeFile(`${file}.md`, page);
  process.stdout.write(`\nWritten to ${place.join("/")}.json and .md\n`);
}

async function overdue(limitMs: number, over: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const timer = setTimeout(() => {
      reject(new Error(`not done within ${Math.round(limitMs / 1000)} s`));
    }, limitMs);
    over.addEventListener("abort", () => clearTimeout(timer));
  });
}

/** Settles with the first signal that asks to stop, or when the reader of the output has gone. */
async function signalled(over: AbortSignal): Promise<StopSignal> {
  return new Promise((resolve) => {
    for (const signal of SIGNALS) {
      const heard = () => resolve(signal);
      process.on(signal, heard);
      over.addEventListener("abort", () => process.off(signal, heard));
    }
    const gone = () => resolve("SIGPIPE");
    process.stdout.on("error", gone);
    over.addEventListener("abort", () => process.stdout.off("error", gone));
  });
}
