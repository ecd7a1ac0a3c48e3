import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { readEnvoyConfig, type EnvoyConfig } from "../../dev/envoy-config.js";
import { repositoryRoot } from "../../dev/repository.js";

/** Those of a check, of a connection to the API and of one to Sekisho; not that of health checks. */
const TIMEOUTS = /^( +(?:connect_)?timeout): [\d.]+s$/gm;
const TIMEOUTS_COUNT = 3;

/**
 * envoy.yaml, except that it waits longer for connections and answers: for tests whose own process is
 * both Sekisho and the API, and may stand still on a busy machine for longer than a node may.
 */
export async function patientEnvoyConfig(): Promise<EnvoyConfig> {
  const text = await readFile(join(repositoryRoot(), "envoy.yaml"), "utf8");
  if (text.match(TIMEOUTS)?.length !== TIMEOUTS_COUNT) throw new Error("other timeouts than known");
  const folder = await mkdtemp(join(tmpdir(), "sekisho-test-"));
  try {
    const file = join(folder, "envoy.yaml");
    await writeFile(file, text.replace(TIMEOUTS, "$1: 20s"));
    return await readEnvoyConfig(file);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
