/** A run of the session service's benchmark as Markdown. */
import type { Spread } from "./percentile.js";
import { TARGETS, missedTargets, overRounds } from "./session-result.js";
import type { SessionResult, Timed } from "./session-result.js";
import { describePlace, markdownTable, milliseconds, wholeNumber } from "./table.js";

/** The block of a document: each number beside its target. */
export function sessionServiceTable(result: SessionResult): string {
  return [sessionVerdict(result), mainTable(result), stepTable(result), describe(result)].join(
    "\n\n",
  );
}

/** The whole result, as a page of its own. */
export function sessionResultPage(result: SessionResult): string {
  const how = "How it is measured: [docs/benchmark.md](../../docs/benchmark.md).";
  return (
    ["# The session service", sessionServiceTable(result), how, ""].join("\n\n").trimEnd() + "\n"
  );
}

export function sessionVerdict(result: SessionResult): string {
  const missed = missedTargets(result);
  if (missed.length === 0) return "All targets were met.";
  return `Targets missed (medians of the rounds): ${missed.join("; ")}.`;
}

/** Latencies in milliseconds, each p95 with its spread; then logins and memory. */
export function mainTable(result: SessionResult): string {
  const { ratePerS } = result.configuration;
  const answers = result.answers.map((one) =>
    timedRow(`${one.name}, ${ratePerS}/s`, one, TARGETS.answerP95Ms),
  );
  const revocations = result.revocations.map((one) =>
    timedRow(one.name, one, TARGETS.receiptP95Ms),
  );
  const { logins, memory } = result;
  const { p50, p95, p99 } = logins.latency;
  const rows = [
    ...answers,
    ...revocations,
    [
      `login, ${logins.atOnce} at a time: ${logins.perS.toFixed(1)}/s`,
      ...[p50, p95, p99].map(milliseconds),
      "bound by argon2",
    ],
    [`argon2id alone`, milliseconds(logins.hashMs.median), "", "", "–"],
    memoryRow("resident memory with PostgreSQL", memory.postgresql, `< ${TARGETS.residentMB} MB`),
    memoryRow("resident memory with PGlite", memory.pglite, "–"),
  ];
  const titles = ["", "p50 ms", "p95 ms (min – max)", "p99 ms", "target"];
  return markdownTable(
    titles.map((title, i) => ({ title, right: i > 0 })),
    rows,
  );
}

function timedRow(name: string, timed: Timed, targetMs: number): string[] {
  const p95 = overRounds(timed, "p95");
  return [
    name,
    milliseconds(overRounds(timed, "p50").median),
    spread(p95),
    milliseconds(overRounds(timed, "p99").median),
    `p95 < ${targetMs} ms${p95.median < targetMs ? "" : " (missed)"}`,
  ];
}

function memoryRow(
  name: string,
  memory: SessionResult["memory"]["postgresql"],
  target: string,
): string[] {
  const told = memory === null ? "unknown" : megabytes(memory.residentMB);
  const peak = memory === null ? "" : ` (peak ${megabytes(memory.peakMB)})`;
  return [`${name}: ${told}${peak}`, "", "", "", target];
}

/** Refreshes at growing rates, and what share of one core each part took. */
export function stepTable({ steps }: SessionResult): string {
  const share = (value: number | undefined) =>
    value === undefined ? "–" : `${value.toFixed(0)} %`;
  const rows = steps.map(({ ratePerS, latency, shares }) => [
    wholeNumber(ratePerS),
    ...(latency === null
      ? ["does not keep up", "–", "–"]
      : [latency.p50, latency.p95, latency.p99].map(milliseconds)),
    share(shares?.service),
    share(shares?.postgresql),
    share(shares?.redis),
  ]);
  const titles = ["refreshes/s", "p50 ms", "p95 ms", "p99 ms", "service", "PostgreSQL", "Redis"];
  return markdownTable(
    titles.map((title) => ({ title, right: true })),
    rows,
  );
}

/** Where, when and with what it was measured. */
function describe(result: SessionResult): string {
  const { versions, configuration: chosen, requests } = result;
  const late = `${((100 * requests.late) / requests.measured).toFixed(2)} %`;
  const rows = [
    ...describePlace(result),
    [
      "versions",
      `Sekisho ${versions.sekisho}, Node.js ${versions.node}, PostgreSQL ${versions.postgresql}, ` +
        `Redis ${versions.redis}`,
    ],
    [
      "configuration",
      `${chosen.rounds} rounds of ${chosen.refreshS} s of refreshes and ${chosen.readS} s of each read ` +
        `at ${chosen.ratePerS}/s; ${chosen.users} users with ${chosen.sessionsPerUser} sessions each; ` +
        `${chosen.nodes} nodes; PostgreSQL with fsync ${chosen.fsync ? "on" : "off"}; ` +
        `${chosen.hashesMax} hashes at once; at most ${chosen.connectionsMax} connections`,
    ],
    ["cores", chosen.cores],
    [
      "requests",
      `${wholeNumber(requests.measured)} at fixed moments, every answer as it had to be; sent more ` +
        `than 1 ms after they were due: ${late}, the latest ${milliseconds(requests.latestMs)} ms`,
    ],
  ];
  return markdownTable([{ title: "" }, { title: "" }], rows);
}

function spread({ median, min, max }: Spread): string {
  return `${milliseconds(median)} (${milliseconds(min)} – ${milliseconds(max)})`;
}

function megabytes(value: number): string {
  return `${value.toFixed(0)} MB`;
}
