/** How long checks took inside a node, by its own histogram. */
import { readFile } from "node:fs/promises";
import type { AuthzNode } from "../../dev/authz-node.js";

/**
 * The share of a load's time in which the node could have run and others had the processor, beyond
 * which one check in twenty may have waited for it.
 */
const UNDISTURBED_MAX = 0.02;

export interface CheckDurations {
  readonly count: number;
  /** What is to be judged, and in which sense: see below. */
  readonly ms: number;
  readonly of: "95 of 100 checks" | "the processor's time per check";
}

interface Load {
  readonly count: number;
  /** The upper edge of the bucket that holds the 95th of each hundred. */
  readonly p95Ms: number;
  /** Of the processor, per check. */
  readonly ranMs: number;
  readonly undisturbed: boolean;
}

/**
 * The p95 of the first of at most `attempts` loads in which it was within `limitMs`; else that of the
 * last one in which the node had a processor whenever it wanted one. Where it never had, durations say
 * nothing about the node, and what is left to be judged is the processor's time that it took.
 */
export async function measureChecks(
  node: AuthzNode,
  { limitMs, attempts }: { readonly limitMs: number; readonly attempts: number },
  load: (attempt: number) => Promise<void>,
): Promise<CheckDurations> {
  const p95Of = ({ count, p95Ms }: Load): CheckDurations => {
    return { count, ms: p95Ms, of: "95 of 100 checks" };
  };
  let undisturbed: Load | undefined;
  for (let attempt = 1; ; attempt += 1) {
    const measured = await measureLoad(node, () => load(attempt));
    if (measured.p95Ms <= limitMs) return p95Of(measured);
    if (measured.undisturbed) undisturbed = measured;
    if (attempt < attempts) continue;
    if (undisturbed !== undefined) return p95Of(undisturbed);
    const { count, ranMs } = measured;
    return { count, ms: ranMs, of: "the processor's time per check" };
  }
}

async function measureLoad(node: AuthzNode, load: () => Promise<void>): Promise<Load> {
  const [before, processorBefore] = [await readBuckets(node), await readProcessor(node)];
  const beganMs = performance.now();
  await load();
  const tookMs = performance.now() - beganMs;
  const [after, processorAfter] = [await readBuckets(node), await readProcessor(node)];
  const buckets = [...after].map(([edgeMs, count]) => ({
    edgeMs,
    count: count - (before.get(edgeMs) ?? 0),
  }));
  const count = buckets.at(-1)?.count ?? 0;
  return {
    count,
    p95Ms: buckets.find((one) => one.count >= 0.95 * count)?.edgeMs ?? Infinity,
    ranMs: (processorAfter.ranMs - processorBefore.ranMs) / count,
    undisturbed: processorAfter.waitedMs - processorBefore.waitedMs <= UNDISTURBED_MAX * tookMs,
  };
}

/** Counts up to each edge, in milliseconds. */
async function readBuckets(node: AuthzNode): Promise<ReadonlyMap<number, number>> {
  const { body } = await node.ops("/metrics");
  const line = /^sekisho_check_duration_seconds_bucket\{le="([^"]+)"\} (\d+)$/gm;
  return new Map(
    [...body.matchAll(line)].map(([, edge, count]) => [
      edge === "+Inf" ? Infinity : Math.round(Number(edge) * 1e6) / 1000,
      Number(count),
    ]),
  );
}

/** How long its main thread ran, and how long it waited to: https://docs.kernel.org/scheduler/sched-stats.html */
async function readProcessor({ pid }: AuthzNode): Promise<{ ranMs: number; waitedMs: number }> {
  const text = await readFile(`/proc/${pid ?? ""}/schedstat`, "utf8");
  const [ranMs = NaN, waitedMs = NaN] = text.split(" ").map((part) => Number(part) / 1e6);
  return { ranMs, waitedMs };
}
