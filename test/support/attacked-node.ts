/**
 * A node that is attacked: it serves a steady load of checks, and is probed as Kubernetes does.
 *
 *   const attacked = await AttackedNode.start(deployment);
 *   await attacked.expectUnharmed("64 readers", slowReaders(attacked.node.opsUrl, 64));
 *   await attacked.close();
 */
import { expect } from "@jest/globals";
import type { AuthzNode } from "../../dev/authz-node.js";
import { formatMs, reportMeasured } from "./e2e-report.js";
import type { E2eDeployment } from "./e2e-deployment.js";
import { SteadyChecks, expectUnharmed, measureBeside, type Attack } from "./steady-checks.js";

const PERSON = { tenant: "acme", user: "ann", session: "ann-laptop" };
/** What Kubernetes grants a probe if nothing else is said. */
const PROBE_TIMEOUT_MS = 1000;
const PROBE_EVERY_MS = 200;

export class AttackedNode {
  readonly node: AuthzNode;
  readonly #checks: SteadyChecks;

  private constructor(node: AuthzNode, checks: SteadyChecks) {
    this.node = node;
    this.#checks = checks;
  }

  static async start(deployment: E2eDeployment): Promise<AttackedNode> {
    const node = await deployment.addNode("attacked");
    await node.waitReady();
    const checks = SteadyChecks.start({ address: node.listen, tokens: [deployment.token(PERSON)] });
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
