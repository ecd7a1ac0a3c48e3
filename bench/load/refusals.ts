/**
 * Real nodes: how long after a revocation its token is refused. Each revocation is watched at one
 * node, in turn, by checks one after the other: checks at all of them at once would take the cores that
 * the nodes need. That all have applied it is what the receipt says.
 */
import type { Client } from "@grpc/grpc-js";

import { AuthzNode } from "../../dev/authz-node.js";
import type { Closing } from "../../dev/demo/demo-deployment.js";
import type { EntryAddress } from "../../src/revocation-log/receipt.js";
import { distributionOf, type RefusalRound } from "../report/fleet-result.js";
import type { AuthzBenchDeployment } from "./authz-bench-deployment.js";
import { checksClient, refusalIn, sendCheck } from "./check-call.js";
import { Stopwatch } from "./fleet-bench.js";
import { processorSeconds } from "./process-usage.js";
import { RedisMeter } from "./redis-work.js";

/** The node promises a second. */
const REFUSED_WITHIN_MS = 5000;
const RECEIPT_WAIT_MS = 5000;
const WARM_UP = 10;

export interface RefusalPlan {
  readonly nodes: number;
  readonly everyMs: number;
  readonly revocations: number;
}

interface Refusal {
  readonly publishedMs: number;
  readonly acknowledgedMs: number;
  /** From the acknowledgement to the receipt. */
  readonly receiptMs: number;
  readonly complete: boolean;
}

export async function measureRefusals(
  deployment: AuthzBenchDeployment,
  closing: Closing,
  plan: RefusalPlan,
  rounds: number,
): Promise<RefusalRound[]> {
  const { mint, redisUrl } = deployment;
  const nodes: AuthzNode[] = [];
  for (let index = 0; index < plan.nodes; index += 1) {
    const options = { nodeId: `node-${index}`, redisUrl, mint };
    nodes.push(await closing.keep(AuthzNode.start(options), (started) => started.kill()));
  }
  await Promise.all(nodes.map((node) => node.waitReady()));
  const clients = nodes.map(({ listen }) => checksClient(listen));
  const meter = await closing.keep(RedisMeter.open(redisUrl), (opened) => opened.close());
  const watcher = new RefusalWatcher(deployment, clients);
  await watcher.watch({ ...plan, revocations: WARM_UP });
  const nodesMs = () =>
    nodes.reduce((sum, { pid }) => sum + 1000 * (processorSeconds(pid) ?? NaN), 0);
  const measured: RefusalRound[] = [];
  for (let round = 1; round <= rounds; round += 1) {
    const before = nodesMs();
    const stopwatch = await Stopwatch.start(meter);
    const refusals = await watcher.watch(plan);
    const { shares } = await stopwatch.stop({ nodes: nodesMs() - before });
    measured.push({
      published: distributionOf(refusals.map(({ publishedMs }) => publishedMs)),
      acknowledged: distributionOf(refusals.map(({ acknowledgedMs }) => acknowledgedMs)),
      receipt: distributionOf(refusals.map(({ receiptMs }) => receiptMs)),
      completeReceipts: refusals.filter(({ complete }) => complete).length,
      shares,
    });
  }
  return measured;
}

class RefusalWatcher {
  readonly #deployment: AuthzBenchDeployment;
  readonly #clients: readonly Client[];
  #revoked = 0;

  constructor(deployment: AuthzBenchDeployment, clients: readonly Client[]) {
    this.#deployment = deployment;
    this.#clients = clients;
  }

  async watch({ everyMs, revocations }: RefusalPlan): Promise<readonly Refusal[]> {
    const startMs = performance.now();
    const refusals: Refusal[] = [];
    for (let count = 1; count <= revocations; count += 1) {
      refusals.push(await this.#revokeOne());
      const restMs = startMs + count * everyMs - performance.now();
      if (restMs > 0) await new Promise((resolve) => setTimeout(resolve, restMs));
    }
    return refusals;
  }

  async #revokeOne(): Promise<Refusal> {
    const client = this.#clients[this.#revoked % this.#clients.length];
    if (client === undefined) throw new Error("there is no node");
    this.#revoked += 1;
    const owner = { tenant: "bench", user: "ann", session: `session-${this.#revoked}` };
    const token = await this.#deployment.mint.mint({ ...owner, epoch: 0 });
    const early = refusalIn(await sendCheck(client, token).answered);
    if (early !== undefined) throw new Error(`refused before it was revoked: ${early}`);
    const startedMs = performance.now();
    const acknowledging = this.#deployment
      .revoke({ kind: "session_revoked", ...owner })
      .then((entry) => ({ entry, afterMs: performance.now() - startedMs }));
    const confirming = acknowledging.then(({ entry }) => this.#confirm(entry));
    const publishedMs = await untilRefused(client, token, startedMs);
    const { afterMs } = await acknowledging;
    const receipt = await confirming;
    return { publishedMs, acknowledgedMs: Math.max(0, publishedMs - afterMs), ...receipt };
  }

  async #confirm(entry: EntryAddress): Promise<Pick<Refusal, "receiptMs" | "complete">> {
    const startedMs = performance.now();
    const { applied, pending, silent } = await this.#deployment.receiptOf(entry, RECEIPT_WAIT_MS);
    const receiptMs = performance.now() - startedMs;
    const missing = pending.length + silent.length;
    return { receiptMs, complete: missing === 0 && applied.length === this.#clients.length };
  }
}

/** Milliseconds until a check was refused as revoked; any other refusal is an error. */
async function untilRefused(client: Client, token: string, startedMs: number): Promise<number> {
  for (;;) {
    const refusal = refusalIn(await sendCheck(client, token).answered);
    const elapsedMs = performance.now() - startedMs;
    if (refusal?.includes('"session_revoked"') === true) return elapsedMs;
    if (refusal !== undefined) throw new Error(`refused, but not as revoked: ${refusal}`);
    if (elapsedMs > REFUSED_WITHIN_MS) throw new Error("a revoked token was not refused in time");
  }
}
