/** The ops port under attack: checks and probes go on, and memory stays. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, it } from "@jest/globals";
import { AttackedNode } from "../support/attacked-node.js";
import { E2eDeployment } from "../support/e2e-deployment.js";
import { idleSockets, pipelines, slowReaders, slowWriters } from "../support/ops-attacks.js";
import type { Attack } from "../support/steady-checks.js";

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

let deployment: E2eDeployment;
let attacked: AttackedNode;

beforeAll(async () => {
  deployment = await E2eDeployment.open();
});
beforeEach(async () => {
  attacked = await AttackedNode.start(deployment);
});
afterEach(() => attacked.close());
afterAll(() => deployment.close());

describe("beside an attack on the ops port", () => {
  it.each(ATTACKS)(
    "of %s, checks and probes are answered as ever",
    (name, attackOn) => attacked.expectUnharmed(name, attackOn(attacked.node.opsUrl)),
    TEST_MS,
  );
});
