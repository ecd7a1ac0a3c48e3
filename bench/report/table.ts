/** A run of the benchmark as Markdown. */
import type { Spread } from "./percentile.js";
import { ADDED_P95_LIMIT_MS, addedMs, keepsLimit } from "./result.js";
import type { BenchmarkResult, Round } from "./result.js";

type Column = { readonly title: string; readonly right?: boolean };

/** Cells are text; what would end one is escaped. */
export function markdownTable(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
): string {
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  return [
    line(columns.map(({ title }) => title)),
    `|${columns.map(({ right }) => (right === true ? "---:" : "---")).join("|")}|`,
    ...rows.map(line),
  ].join("\n");
}

export function milliseconds(value: number): string {
  return value.toFixed(2);
}

function median(spread: Spread): string {
  return `${milliseconds(spread.median)} (${milliseconds(spread.min)} – ${milliseconds(spread.max)})`;
}

/** p50, p95 and p99 of each side and round, and what the filter adds. */
export function latencyTable(rounds: readonly Round[]): string {
  const columns = ["p50", "p95", "p99"] as const;
  const rows = rounds.flatMap((round, i) =>
    (["without", "with"] as const).map((side) => [
      `${i + 1}`,
      side === "with" ? "with Sekisho" : "without",
      ...columns.map((name) => milliseconds(round[side][name])),
    ]),
  );
  const added = columns.map((name) => `**${median(addedMs(rounds, name))}**`);
  const titles = ["round", "ms", ...columns];
  return markdownTable(
    titles.map((title, i) => ({ title, right: i > 1 })),
    [...rows, ["all", "added: median (min – max)", ...added]],
  );
}

/** The result in a sentence. */
export function verdict(rounds: readonly Round[]): string {
  const { median, min, max } = addedMs(rounds, "p95");
  const limit = `${ADDED_P95_LIMIT_MS} ms`;
  return (
    `Added p95: ${milliseconds(median)} ms (median of ${rounds.length}; ` +
    `${milliseconds(min)} to ${milliseconds(max)} ms), ` +
    (keepsLimit(rounds) ? `below the limit of ${limit}.` : `not below the limit of ${limit}.`)
  );
}

export function describeSidecar({ sidecar }: BenchmarkResult): string {
  const bound = (value: number | null) => (value === null ? "beyond all buckets" : `≤ ${value} ms`);
  return (
    `The sidecar itself says of its ${wholeNumber(sidecar.checks)} checks: mean ` +
    `${sidecar.meanMs.toFixed(3)} ms, p50 ${bound(sidecar.p50UpToMs)}, ` +
    `p95 ${bound(sidecar.p95UpToMs)}, p99 ${bound(sidecar.p99UpToMs)} (buckets of its histogram).`
  );
}

export function describeRequests({ requests }: BenchmarkResult): string {
  const sent = `${wholeNumber(requests.measured)} requests counted`;
  const warmUp = `${wholeNumber(requests.warmUp)} for warming up`;
  const shares = [requests.lateWithout, requests.lateWith].map(
    (late) => `${((200 * late) / requests.measured).toFixed(2)} %`,
  );
  return (
    `${sent}, ${warmUp}; every answer as it had to be. Sent more than 1 ms after they were due: ` +
    `${shares.join(" of those without, ")} of those with Sekisho; the latest ` +
    `${milliseconds(requests.latestMs)} ms.`
  );
}

/** Where, when and with what it was measured. */
export function describeRun(result: BenchmarkResult): string {
  const { versions, configuration: chosen } = result;
  const rows = [
    ...describePlace(result),
    [
      "versions",
      `Sekisho ${versions.sekisho}, Node.js ${versions.node}, Envoy ${versions.envoy}, ` +
        `Redis ${versions.redis}`,
    ],
    [
      "configuration",
      `${chosen.rounds} rounds of ${chosen.secondsPerSide} s per side at ${chosen.ratePerS} ` +
        `requests/s after ${chosen.warmUpS} s of warm-up; ${chosen.tokens} tokens ` +
        `(${chosen.algorithm}); Envoy with ${chosen.envoyThreads} worker thread; at most ` +
        `${chosen.connectionsMax} connections`,
    ],
  ];
  return markdownTable([{ title: "" }, { title: "" }], rows);
}

/** The rows of a table that say when and on what a run was made. */
export function describePlace({
  recordedAt,
  commit,
  machine,
}: Pick<BenchmarkResult, "recordedAt" | "commit" | "machine">): readonly string[][] {
  return [
    ["recorded", `${recordedAt}, commit ${commit}`],
    [
      "machine",
      `${machine.cpu}, ${machine.cores} cores, ${machine.memoryGiB} GiB, ${machine.platform}; ` +
        `load average before: ${machine.loadAverageBefore.toFixed(2)}`,
    ],
  ];
}

/** What an operation in process takes. */
export function microTable(
  results: readonly { readonly name: string; readonly nsPerOperation: Spread }[],
): string {
  const rows = results.map(({ name, nsPerOperation: { median, min, max } }) => [
    name,
    wholeNumber(Math.round(1e9 / median)),
    wholeNumber(Math.round(median)),
    `${wholeNumber(Math.round(min))} – ${wholeNumber(Math.round(max))}`,
  ]);
  const titles = ["one check in process", "operations/s", "ns/operation", "min – max"];
  return markdownTable(
    titles.map((title, i) => ({ title, right: i > 0 })),
    rows,
  );
}

export function resultPage(result: BenchmarkResult): string {
  return (
    [
      "# Added latency",
      verdict(result.rounds),
      latencyTable(result.rounds),
      describeRequests(result),
      describeSidecar(result),
      describeRun(result),
      "How it is measured: [docs/benchmark.md](../../docs/benchmark.md).",
      "",
    ]
      .join("\n\n")
      .trimEnd() + "\n"
  );
}

export function wholeNumber(value: number): string {
  return value.toLocaleString("en-GB");
}
