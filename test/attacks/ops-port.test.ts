/** The ops port under attack: checks and probes go on, and memory stays. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "@jest/globals";
import type { AuthzNode } from "../../deploy/local/authz-node.js";
import { formatMs, reportMeasured } from "../support/e2e-report.js";
import { E2eStage } from "../support/e2e-stage.js";
import { idleSockets, pipelines, slowReaders, slowWriters } from "../support/ops-attacks.js";
import {
  SteadyChecks,
  expectUnharmed,
  measureBeside,
  type Attack,
} from "../support/steady-checks.js";

const PERSON = { tenant: "acme", user: "ann", session: "ann-laptop" };
/** What Kubernetes grants a probe if nothing else is said. */
const PROBE_TIMEOUT_MS = 1000;
const PROBE_EVERY_MS = 200;
const TEST_MS = 300_000;

const ATTACKS: readonly (readonly [string, (opsUrl: string) => Attack])[] = [
  ["64 pipelines of /metrics that are not read", (url) => pipelines(url, 64, "/metrics")],
  ["one pipeline of /metrics that is not read", (url) => pipelines(url, 1, "/metrics")],
  ["64 pipelines of /statusz that are not read", (url) => pipelines(url, 64, "/statusz")],
  ["64 pipelines of /readyz that are not read", (url) => pipelines(url, 64, "/readyz")],
  ["100 idle sockets", (url) => idleSockets(url, 100)],
  ["64 readers that never read", (url) => slowReaders(url, 64)],
  ["100 writers of a byte at a time", (url) => slowWriters(url, 100)],
];

let stage: E2eStage;
let node: AuthzNode;
let checks: SteadyChecks;

beforeAll(async () => {
  stage = await E2eStage.open();
});
beforeEach(async () => {
  node = await stage.addNode("attacked");
  await node.waitReady();
  checks = SteadyChecks.start({ address: node.listen, tokens: [stage.token(PERSON)] });
});
afterEach(async () => {
  checks.close();
  await node.kill();
});
afterAll(() => stage.close());

/** Asks as Kubernetes does, calm or not, until the returned function is called: what was answered. */
function probe(opsUrl: string): () => Promise<readonly string[]> {
  const ask = async (path: string): Promise<string> => {
    const signal = AbortSignal.timeout(PROBE_TIMEOUT_MS);
    const answer = await fetch(`${opsUrl}${path}`, { signal }).then(
      async (response) =>
        `${response.status}${(await response.text()) === "" ? " without body" : ""}`,
      (error: unknown) => String(error),
    );
    return `${path} ${answer}`;
  };
  const asked: Promise<string>[] = [];
  const probing = setInterval(() => asked.push(ask("/livez"), ask("/readyz")), PROBE_EVERY_MS);
  return () => {
    clearInterval(probing);
    return Promise.all(asked);
  };
}

describe("beside an attack on the ops port", () => {
  it.each(ATTACKS)(
    "of %s, checks and probes are answered as ever",
    async (name, attackOn) => {
      const endProbes = probe(node.opsUrl);
      const attack = attackOn(node.opsUrl);
      const beside = await measureBeside({ checks, pid: node.pid, attack });
      const probes = await endProbes();
      const { calmP99Ms, attackedP99Ms, peakMB, rounds } = beside;
      reportMeasured(
        `${name}: p99 ${formatMs(attackedP99Ms)}, without ${formatMs(calmP99Ms)}; ` +
          `${peakMB.toFixed(0)} MB at most; rounds: ${rounds}; probes: ${probes.length}`,
      );
      expectUnharmed(beside);
      expect([...new Set(probes)].sort()).toEqual(["/livez 200", "/readyz 200"]);
    },
    TEST_MS,
  );
});
