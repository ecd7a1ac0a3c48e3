/** The number of checks and the upper edge of the bucket that holds the 95th of each hundred. */
export function readDurations(metrics: string): { count: number; p95Ms: number } {
  const line = /^sekisho_check_duration_seconds_bucket\{le="([^"]+)"\} (\d+)$/gm;
  const buckets = [...metrics.matchAll(line)].map(([, edge, count]) => ({
    edgeMs: edge === "+Inf" ? Infinity : Math.round(Number(edge) * 1e6) / 1000,
    count: Number(count),
  }));
  const count = buckets.at(-1)?.count ?? 0;
  const bucket = buckets.find((one) => one.count >= 0.95 * count);
  return { count, p95Ms: bucket?.edgeMs ?? Infinity };
}
