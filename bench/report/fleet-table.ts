/** Runs with many revocations or many nodes as Markdown. Medians of the rounds, with their spread. */
import { over } from "./fleet-result.js";
import type {
  BurstResult,
  Distribution,
  Fleet,
  PropagationResult,
  RecordedRun,
  RecoveryResult,
  ScaleResult,
  Shares,
} from "./fleet-result.js";
import { spreadOf, type Spread } from "./percentile.js";
import { describePlace, markdownTable, milliseconds, wholeNumber } from "./table.js";

const HOW =
  "How it is measured: [docs/benchmark.md](../../docs/benchmark.md#many-revocations-many-nodes).";

export function numbersTable(
  titles: readonly string[],
  rows: readonly (readonly string[])[],
): string {
  return markdownTable(
    titles.map((title) => ({ title, right: true })),
    rows,
  );
}

export function whole(value: number): string {
  return wholeNumber(Math.round(value));
}

function spread({ median, min, max }: Spread, write: (value: number) => string): string {
  return min === max ? write(median) : `${write(median)} (${write(min)} – ${write(max)})`;
}

export function percent(value: number): string {
  return `${value.toFixed(value < 10 ? 1 : 0)} %`;
}

/** Of one core, in the rounds' order of names. */
function sharesOf(rounds: readonly { readonly shares: Shares }[]): string {
  const names = Object.keys(rounds[0]?.shares ?? {});
  const shares = names.map((name) => {
    const { median } = over(rounds, (round) => round.shares[name] ?? 0);
    return `${name} ${percent(median)}`;
  });
  return shares.join(", ");
}

/** Percentiles, each the median of the rounds; the maximum is that of all rounds. */
function percentilesOver<Round>(
  rounds: readonly Round[],
  pick: (round: Round) => Distribution,
): string[] {
  const named = (["p50", "p95", "p99"] as const).map(
    (name) => over(rounds, (round) => pick(round)[name]).median,
  );
  return [...named, over(rounds, (round) => pick(round).max).max].map(milliseconds);
}

function describe(run: RecordedRun): string {
  const { sekisho, node, redis } = run.versions;
  const versions = `Sekisho ${sekisho}, Node.js ${node}, Redis ${redis}`;
  const rows = [...describePlace(run), ["versions", versions]];
  return markdownTable([{ title: "" }, { title: "" }], rows);
}

function page(title: string, tables: string, run: RecordedRun): string {
  return `${[`# ${title}`, tables, describe(run), HOW].join("\n\n")}\n`;
}

export function recoveryPage(result: RecoveryResult): string {
  return page("503 after Redis is back", recoveryTable(result), result);
}

export function recoveryTable({ cases }: RecoveryResult): string {
  const rows = cases.map(({ authority, replicas, ms }) => {
    const { median, min, max } = spreadOf(ms);
    return [authority, String(replicas), String(ms.length), ...[median, min, max].map(whole)];
  });
  const titles = ["authority", "replicas", "restarts", "503 for ms, median", "least", "most"];
  return numbersTable(titles, rows);
}

export function burstPage(result: BurstResult): string {
  return page("A burst of revocations at one node", burstTables(result), result);
}

export function burstTables({ bursts, starts }: BurstResult): string {
  const burstRows = bursts.map(({ entries, format, rounds }) => {
    const all = (pick: (round: (typeof rounds)[number]) => number) =>
      rounds.reduce((sum, round) => sum + pick(round), 0);
    const checks = all((round) => round.checks);
    const notAllowed = all((round) => round.notAllowed);
    return [
      wholeNumber(entries),
      String(format),
      spread(
        over(rounds, ({ appliedMs }) => (1000 * entries) / appliedMs),
        whole,
      ),
      spread(
        over(rounds, ({ appliedMs }) => appliedMs),
        whole,
      ),
      whole(over(rounds, ({ writtenMs }) => writtenMs).median),
      whole(over(rounds, ({ stalenessMaxMs }) => stalenessMaxMs).max),
      `${percent((100 * notAllowed) / checks)} of ${wholeNumber(checks)}`,
      milliseconds(over(rounds, ({ p50Ms }) => p50Ms).median),
      milliseconds(over(rounds, ({ p99Ms }) => p99Ms).median),
      whole(over(rounds, ({ eventLoopMaxMs }) => eventLoopMaxMs).max),
      sharesOf(rounds),
    ];
  });
  const startRows = starts.map(({ entries, format, rounds }) => [
    wholeNumber(entries),
    String(format),
    spread(
      over(rounds, ({ readyMs }) => readyMs),
      whole,
    ),
    whole(over(rounds, ({ bytesPerEntry }) => bytesPerEntry).median),
  ]);
  return [
    numbersTable(
      [
        ...["entries", "format", "applied/s", "applied after ms", "written after ms"],
        ...["staleness, most, ms", "checks not allowed", "check p50 ms", "p99 ms"],
        ...["event loop, most, ms", "of a core"],
      ],
      burstRows,
    ),
    numbersTable(
      ["entries in the log", "format", "ready later than with none, ms", "bytes each"],
      startRows,
    ),
  ].join("\n\n");
}

export function propagationPage(result: PropagationResult): string {
  return page("From a revocation to its refusal", propagationTables(result), result);
}

export function propagationTables({ nodes, fleets }: PropagationResult): string {
  const nodeRows = nodes.flatMap(({ nodes: count, everyMs, revocations, rounds }) => {
    const requested = revocations * rounds.length;
    const complete = rounds.reduce((sum, { completeReceipts }) => sum + completeReceipts, 0);
    const row = (what: string, pick: (round: (typeof rounds)[number]) => Distribution) => [
      String(count),
      String(everyMs),
      what,
      ...percentilesOver(rounds, pick),
      `${complete} of ${requested}`,
      sharesOf(rounds),
    ];
    return [
      row("refused, from the call", ({ published }) => published),
      row("refused, from the acknowledgement", ({ acknowledged }) => acknowledged),
      row("receipt of all, from the acknowledgement", ({ receipt }) => receipt),
    ];
  });
  const fleetRows = fleets.flatMap((fleet) =>
    fleet.traffic.flatMap(({ everyMs, rounds }) => {
      const row = (what: string, pick: (round: (typeof rounds)[number]) => Distribution) => [
        nameOf(fleet),
        String(everyMs),
        what,
        ...percentilesOver(rounds, pick),
        sharesOf(rounds),
      ];
      return [
        row("any reader, from the call", ({ any }) => any),
        row("the last one, from the call", ({ last }) => last),
        row("the last one, from the acknowledgement", ({ lastAcknowledged }) => lastAcknowledged),
      ];
    }),
  );
  const percentiles = ["p50 ms", "p95 ms", "p99 ms", "max ms"];
  return [
    numbersTable(
      ["nodes", "every ms", "", ...percentiles, "complete receipts", "of a core"],
      nodeRows,
    ),
    numbersTable(["light readers", "every ms", "", ...percentiles, "of a core"], fleetRows),
    costsTable(fleets),
  ].join("\n\n");
}

function nameOf({ readers, replicas }: Fleet): string {
  if (replicas === 0) return wholeNumber(readers);
  return `${wholeNumber(readers)}, with ${replicas} replica${replicas > 1 ? "s" : ""}`;
}

/** What readers cost Redis, and whether receipts name all of them. */
function costsTable(fleets: PropagationResult["fleets"]): string {
  const rows = fleets.map((fleet) => {
    const { quietUsPerReader, traffic, receipts } = fleet;
    const quickest = traffic.filter(({ everyMs }) => everyMs < 1000);
    const perDelivery = quickest.map(({ rounds }) =>
      over(rounds, ({ redisUsPerDelivery }) => redisUsPerDelivery),
    );
    const oneDecimal = (value: number) => value.toFixed(1);
    const lost = traffic.flatMap(({ rounds }) => rounds.map(({ disturbed }) => disturbed));
    return [
      nameOf(fleet),
      whole(quietUsPerReader),
      perDelivery.map((one) => spread(one, oneDecimal)).join(", ") || "–",
      `${receipts.complete} of ${receipts.requested}`,
      whole(receipts.afterMs.p50),
      String(lost.reduce((sum, one) => sum + one, 0)),
    ];
  });
  return numbersTable(
    [
      ...["light readers", "Redis, µs per reader and second, quiet"],
      ...["Redis, µs per delivery, every 20 ms", "complete receipts", "receipt after ms, p50"],
      "connections lost",
    ],
    rows,
  );
}

export function scalePage(result: ScaleResult): string {
  return page("Fleets", scaleTables(result), result);
}

export function scaleTables({ bursts, starts }: ScaleResult): string {
  const oneDecimal = (value: number) => value.toFixed(1);
  const burstRows = bursts.map(({ readers, entries, format, rounds }) => [
    wholeNumber(readers),
    wholeNumber(entries),
    String(format),
    spread(
      over(rounds, ({ lastMs }) => (1000 * entries * readers) / lastMs),
      whole,
    ),
    whole(over(rounds, ({ writtenMs }) => writtenMs).median),
    whole(over(rounds, ({ firstMs }) => firstMs).median),
    spread(
      over(rounds, ({ lastMs }) => lastMs),
      whole,
    ),
    whole(over(rounds, ({ stalenessMaxMs }) => stalenessMaxMs).max),
    oneDecimal(over(rounds, ({ redisUsPerDelivery }) => redisUsPerDelivery).median),
    readers === 1
      ? `${oneDecimal(over(rounds, ({ loopP999Ms }) => loopP999Ms).median)}, ` +
        oneDecimal(over(rounds, ({ loopMaxMs }) => loopMaxMs).max)
      : "–",
    String(rounds.reduce((sum, { disturbed }) => sum + disturbed, 0)),
    sharesOf(rounds),
  ]);
  const startRows = starts.map(({ readers, entries, format, rounds }) => [
    wholeNumber(readers),
    wholeNumber(entries),
    String(format),
    whole(over(rounds, ({ firstMs }) => firstMs).median),
    spread(
      over(rounds, ({ lastMs }) => lastMs),
      whole,
    ),
    oneDecimal(over(rounds, ({ redisUsPerDelivery }) => redisUsPerDelivery).median),
    sharesOf(rounds),
  ]);
  return [
    numbersTable(
      [
        ...["light readers", "entries", "format", "applied/s by all", "written after ms"],
        ...["first has all after ms", "last has all after ms", "staleness, most, ms"],
        ...["Redis, µs per delivery", "event loop p99.9, max, ms", "connections lost", "of a core"],
      ],
      burstRows,
    ),
    numbersTable(
      [
        ...["light readers, starting", "entries in the log", "format", "first is fresh after ms"],
        ...["last is fresh after ms", "Redis, µs per delivery", "of a core"],
      ],
      startRows,
    ),
  ].join("\n\n");
}
