/** What the sidecar itself counts, read from its Prometheus page. */

const ALLOWED = 'sekisho_check_total{decision="allow",reason="allowed"}';
const DURATION = "sekisho_check_duration_seconds";

export interface DurationBucket {
  /** Upper bound in milliseconds, included; Infinity for the last one. */
  readonly upToMs: number;
  /** How many checks took at most so long. */
  readonly count: number;
}

export interface SidecarCounts {
  readonly allowed: number;
  readonly durationSumMs: number;
  readonly durations: readonly DurationBucket[];
}

/** @throws Error for a page that lacks one of the metrics */
export function readSidecarCounts(page: string): SidecarCounts {
  const samples = new Map(
    page
      .split("\n")
      .filter((line) => line !== "" && !line.startsWith("#"))
      .map((line): [string, number] => {
        const end = line.lastIndexOf(" ");
        return [line.slice(0, end), Number(line.slice(end + 1))];
      }),
  );
  const valueOf = (name: string): number => {
    const value = samples.get(name);
    if (value === undefined) throw new Error(`the sidecar has no metric ${name}`);
    return value;
  };
  const durations: DurationBucket[] = [];
  for (const [name, count] of samples) {
    const bound = new RegExp(`^${DURATION}_bucket\\{le="([^"]+)"\\}$`, "u").exec(name)?.[1];
    if (bound === undefined) continue;
    durations.push({ upToMs: bound === "+Inf" ? Infinity : Number(bound) * 1000, count });
  }
  if (durations.length === 0) throw new Error(`the sidecar has no metric ${DURATION}`);
  const durationSumMs = valueOf(`${DURATION}_sum`) * 1000;
  return { allowed: valueOf(ALLOWED), durationSumMs, durations };
}

/** What came to `before` until `after`. */
export function countsBetween(before: SidecarCounts, after: SidecarCounts): SidecarCounts {
  return combine(after, before, (one, other) => one - other);
}

export function addCounts(one: SidecarCounts, other: SidecarCounts): SidecarCounts {
  return combine(one, other, (a, b) => a + b);
}

function combine(
  one: SidecarCounts,
  other: SidecarCounts,
  by: (a: number, b: number) => number,
): SidecarCounts {
  return {
    allowed: by(one.allowed, other.allowed),
    durationSumMs: by(one.durationSumMs, other.durationSumMs),
    durations: one.durations.map(({ upToMs, count }, i) => ({
      upToMs,
      count: by(count, other.durations[i]?.count ?? 0),
    })),
  };
}

/** The bound of the first bucket below which `percent` % of the checks lie. */
export function boundOfPercentileMs(counts: SidecarCounts, percent: number): number {
  const all = counts.durations.at(-1)?.count ?? 0;
  const bucket = counts.durations.find(({ count }) => count * 100 >= percent * all);
  return bucket?.upToMs ?? Infinity;
}
