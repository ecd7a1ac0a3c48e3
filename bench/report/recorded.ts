/** The recorded runs in bench/results. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";

import { repositoryRoot } from "../../dev/repository.js";
import { burstResultSchema, propagationResultSchema, scaleResultSchema } from "./fleet-result.js";
import type { Recorded } from "./readme-blocks.js";
import { resultSchema } from "./result.js";
import { sessionResultSchema } from "./session-result.js";

/** @throws ZodError for a run that was recorded in another form */
export async function readRecorded(): Promise<Recorded> {
  return {
    latency: resultSchema.parse(await readResult("added-latency")),
    sessions: sessionResultSchema.parse(await readResult("session-service")),
    burst: burstResultSchema.parse(await readResult("burst")),
    propagation: propagationResultSchema.parse(await readResult("propagation")),
    scale: scaleResultSchema.parse(await readResult("scale")),
  };
}

async function readResult(name: string): Promise<unknown> {
  const file = join(repositoryRoot(), "bench", "results", `${name}.json`);
  return JSON.parse(await readFile(file, "utf8"));
}
