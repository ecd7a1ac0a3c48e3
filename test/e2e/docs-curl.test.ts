/** Runs every command of docs/sessions.md, in its order, and compares what it shows as answers. */
import { readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { environmentWithoutSettings } from "../../dev/sekisho-program.js";
import { Closing } from "../../dev/demo/demo-deployment.js";
import { takeFreePort } from "../../dev/free-port.js";
import { RedisServer } from "../../dev/redis-server.js";
import { repositoryRoot } from "../../dev/repository.js";
import { BashSession } from "../support/bash-session.js";
import { documentedSteps, isAsDocumented } from "../support/documented-steps.js";

const STEP_TIMEOUT_MS = 180_000;
/**
 * A node that stands still for a second, as it may on a machine that has other things to do, would be
 * silent in a receipt, and stale. The document shows one that does not.
 */
const PATIENT = { shown: '"max_staleness_ms": 1000,', here: "30000" };

const document = readFileSync(join(repositoryRoot(), "docs", "sessions.md"), "utf8");
const steps = documentedSteps(
  document.replaceAll(PATIENT.shown, `"max_staleness_ms": ${PATIENT.here},`),
);

const closing = new Closing();
let redis: RedisServer;
let bash: BashSession;
/** Where it went wrong; what comes after that says nothing any more. */
let brokenOff: number | undefined;
/** Addresses that stand in the document, and those that are free here. */
const addresses = new Map<string, string>();

beforeAll(async () => {
  const folder = await closing.keep(mkdtemp(join(tmpdir(), "docs-")), (made) =>
    rm(made, { recursive: true, force: true }),
  );
  redis = await closing.keep(RedisServer.start(), (started) => started.close());
  const main = join(repositoryRoot(), "dist", "src", "main.js");
  const command = `#!/bin/sh\nexec '${process.execPath}' '${main}' "$@"\n`;
  await writeFile(join(folder, "sekisho"), command, { mode: 0o755 });
  addresses.set("redis://127.0.0.1:6379", redis.url);
  const listen: NodeJS.ProcessEnv = {
    SEKISHO_LISTEN: "127.0.0.1:0",
    SEKISHO_MAX_STALENESS_MS: PATIENT.here,
  };
  for (const [name, documented] of [
    ["SEKISHO_SESSIONS_LISTEN", "127.0.0.1:9180"],
    ["SEKISHO_SESSIONS_OPS_LISTEN", "127.0.0.1:9181"],
    ["SEKISHO_OPS_LISTEN", "127.0.0.1:9192"],
  ] as const) {
    do listen[name] = `127.0.0.1:${await takeFreePort()}`;
    while ([...addresses.values()].includes(listen[name]));
    addresses.set(documented, listen[name]);
  }
  const PATH = [folder, process.env["PATH"]].join(delimiter);
  bash = new BashSession({
    cwd: folder,
    env: { ...environmentWithoutSettings(process.env), ...listen, PATH },
  });
  await closing.keep(Promise.resolve(bash), (started) => started.close());
});
afterAll(async () => {
  expect(await closing.close()).toEqual([]);
});

describe("docs/sessions.md", () => {
  it("has all its curl commands in blocks that are run here", () => {
    const curls = (text: string): number => text.split(/^(?:.*[ ;{])?curl -/m).length - 1;
    expect(curls(steps.map(({ commands }) => commands).join("\n"))).toBe(curls(document));
    expect(curls(document)).toBeGreaterThan(20);
  });

  it("is read on a machine that has curl", async () => {
    const { status } = await bash.run("curl --version > /dev/null", STEP_TIMEOUT_MS);
    expect({ curl: status === 0 ? "is there" : "is missing: install it" }).toEqual({
      curl: "is there",
    });
  });

  it.each(steps.map((step) => [step.line, step] as const))(
    "is answered as it says in line %d",
    async (line, { commands, answer, before }) => {
      if (brokenOff !== undefined) throw new Error(`not run, because line ${brokenOff} failed`);
      brokenOff = line;
      for (const told of before) {
        if (told !== "redis goes away") throw new Error(`line ${line}: what is "${told}"?`);
        await redis.kill();
      }
      let here = commands;
      for (const [documented, free] of addresses) here = here.replaceAll(documented, free);
      const { status, printed, complained } = await bash.run(here, STEP_TIMEOUT_MS);
      if (status !== 0 || !isAsDocumented(answer, printed)) {
        const shown = answer?.text ?? "(nothing)";
        throw new Error(
          `docs/sessions.md, line ${line}\n${commands}\n\nshown:\n${shown}\n\n` +
            `printed, with status ${status}:\n${printed}\n${complained}`,
        );
      }
      brokenOff = undefined;
    },
    STEP_TIMEOUT_MS + 5000,
  );
});
