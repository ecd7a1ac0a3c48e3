/**
 * A node that is attacked: it serves a steady load of checks, and is probed as Kubernetes does.
 *
 *   const attacked = await AttackedNode.start(deployment);
 *   await attacked.expectUnharmed("64 readers", slowReaders(attacked.node.opsUrl, 64));
 *   await attacked.close();
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "@jest/globals";
import type { AuthzNode } from "../../dev/authz-node.js";
import { formatMs, reportMeasured } from "./e2e-report.js";
import { E2eDeployment } from "./e2e-deployment.js";
import { ChecksSender } from "../../bench/load/checks-sender.js";
import { expectUnharmed, measureBeside, type Attack } from "./steady-checks.js";

const PERSON = { tenant: "acme", user: "ann", session: "ann-laptop" };
/** What Kubernetes grants a probe if nothing else is said. */
const PROBE_TIMEOUT_MS = 1000;
const PROBE_EVERY_MS = 200;
const TEST_MS = 300_000;

export class AttackedNode {
  readonly node: AuthzNode;
  readonly #checks: ChecksSender;

  private constructor(node: AuthzNode, checks: ChecksSender) {
    this.node = node;
    this.#checks = checks;
  }

  static async start(deployment: E2eDeployment): Promise<AttackedNode> {
    const node = await deployment.addNode("attacked");
    await node.waitReady();
    const checks = ChecksSender.start({ address: node.listen, tokens: [deployment.token(PERSON)] });
    return new AttackedNode(node, checks);
  }

  /** Checks keep their time, each probe is answered, and the memory stays. */
  async expectUnharmed(name: string, attack: Attack): Promise<void> {
    const endProbes = probe(this.node.opsUrl);
    const beside = await measureBeside({ checks: this.#checks, pid: this.node.pid, attack });
    const probes = await endProbes();
    const { calmP99Ms, attackedP99Ms, peakMB, rounds } = beside;
    reportMeasured(
      `${name}: p99 ${formatMs(attackedP99Ms)}, without ${formatMs(calmP99Ms)}; ` +
        `${peakMB.toFixed(0)} MB at most; rounds: ${rounds}; probes: ${probes.length}`,
    );
    expectUnharmed(beside);
    expect([...new Set(probes)].sort()).toEqual(["/livez 200", "/readyz 200"]);
  }

  async close(): Promise<void> {
    this.#checks.close();
    await this.node.kill();
  }
}

/**
 * A test for each attack, beside which checks and probes are answered as ever.
 * @param attacks each by its name, made for the port that `portOf` names
 */
export function testAttacks(
  port: string,
  portOf: (node: AuthzNode) => string,
  attacks: readonly (readonly [string, (address: string) => Attack])[],
): void {
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

  describe(`beside an attack on the ${port}`, () => {
    it.each(attacks)(
      "of %s, checks and probes are answered as ever",
      (name, attackOn) => attacked.expectUnharmed(name, attackOn(portOf(attacked.node))),
      TEST_MS,
    );
  });
}

/** Asks until the returned function is called: what was answered. */
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
