/** What one master of the log carries, from what its readers cost it. */
import { over } from "./fleet-result.js";
import type { PropagationResult, ScaleResult } from "./fleet-result.js";
import { describePlace, markdownTable, wholeNumber } from "./table.js";

/** The largest fleet whose readers keep up with an entry every 20 ms on two cores. */
const READERS = 50;
const FORMAT = 2;
const NODES = [10, 50, 100, 300, 1000, 3000] as const;
const BURST = 10_000;
const LOG = 100_000;
const US_PER_S = 1e6;
/** Of the core on which Redis works: the rest is for bursts, and for what else it does. */
const HALF = 0.5;

/** Processor time of Redis, in microseconds. */
export interface ReaderCosts {
  /** Of a reader per second, while nothing is published. */
  readonly quiet: number;
  /** Of an entry and reader: one at a time, many at once, and read by one that starts. */
  readonly delivery: number;
  readonly burst: number;
  readonly start: number;
  /** With a replica that must confirm. */
  readonly replicated: Pick<ReaderCosts, "quiet" | "delivery">;
}

export function readerCosts(propagation: PropagationResult, scale: ScaleResult): ReaderCosts {
  const [alone, replicated] = [0, 1].map((replicas) => singleCosts(propagation, replicas));
  const isFleet = (one: { readonly readers: number; readonly format: number }) =>
    one.readers === READERS && one.format === FORMAT;
  const [burst, start] = [scale.bursts.find(isFleet), scale.starts.find(isFleet)];
  if (!alone || !replicated || !burst || !start) {
    throw new Error(`the recorded runs have no fleet of ${READERS} readers`);
  }
  return {
    ...alone,
    burst: over(burst.rounds, (round) => round.redisUsPerDelivery).median,
    start: over(start.rounds, (round) => round.redisUsPerDelivery).median,
    replicated,
  };
}

function singleCosts({ fleets }: PropagationResult, replicas: number) {
  const fleet = fleets.find((one) => one.readers === READERS && one.replicas === replicas);
  const [traffic] = fleet?.traffic ?? [];
  if (fleet === undefined || traffic === undefined) return undefined;
  return {
    quiet: fleet.quietUsPerReader,
    delivery: over(traffic.rounds, (round) => round.redisUsPerDelivery).median,
  };
}

/** The share of a core, 1 being all of it, that Redis spends on its readers. */
export function masterShare(
  { quiet, delivery }: Pick<ReaderCosts, "quiet" | "delivery">,
  load: { readonly nodes: number; readonly revocationsPerS: number },
): number {
  return (load.nodes * (quiet + load.revocationsPerS * delivery)) / US_PER_S;
}

/** How many revocations a second keep Redis at half a core; less than 0: it is beyond that without any. */
export function revocationsPerSAtHalf(
  { quiet, delivery }: Pick<ReaderCosts, "quiet" | "delivery">,
  nodes: number,
): number {
  return ((HALF * US_PER_S) / nodes - quiet) / delivery;
}

/** The block of docs/deployment.md. */
export function capacityBlock(propagation: PropagationResult, scale: ScaleResult): string {
  const costs = readerCosts(propagation, scale);
  const { quiet, delivery, burst, start, replicated } = costs;
  const seconds = (us: number) => `${(us / US_PER_S).toFixed(us < US_PER_S ? 2 : 1)} s`;
  const rows = NODES.map((nodes) => {
    const share = masterShare(costs, { nodes, revocationsPerS: 0 });
    const revocations = Math.floor(revocationsPerSAtHalf(costs, nodes));
    return [
      wholeNumber(nodes),
      `${(100 * share).toFixed(1)} %`,
      revocations > 0 ? wholeNumber(revocations) : "none",
      seconds(nodes * BURST * burst),
      seconds(nodes * LOG * start),
      redisFor(share),
    ];
  });
  const us = (value: number) => value.toFixed(1);
  const most = wholeNumber(Math.round(US_PER_S / delivery));
  const formula = [
    `Share of one core = nodes × (${us(quiet)} µs + revocations/s × ${us(delivery)} µs) / 1 s.`,
    `${us(quiet)} µs are what a node costs Redis in each second of a quiet log, and ${us(delivery)} µs`,
    "what delivering one revocation to one node does, acknowledgement included:",
    `${most} deliveries a second, one at a time, fill the core. Where more come, nodes read several at`,
    `once, and a delivery costs less: ${us(burst)} µs in a burst. A node that starts reads an entry for`,
    `${us(start)} µs. With a replica that must confirm, the first two are ${us(replicated.quiet)} µs and`,
    `${us(replicated.delivery)} µs.`,
  ].join(" ");
  const titles = [
    "nodes",
    "quiet log, of one core",
    "revocations/s at half a core",
    `${wholeNumber(BURST)} at once: Redis works for`,
    `all start on ${wholeNumber(LOG)}: Redis works for`,
    "Redis",
  ];
  const [[, recorded = ""] = [], [, machine = ""] = []] = describePlace(scale);
  return [
    formula,
    markdownTable(
      titles.map((title, i) => ({ title, right: i < titles.length - 1 })),
      rows,
    ),
    `Measured with ${READERS} light readers in format ${FORMAT}, Redis ${scale.versions.redis} ` +
      `(${recorded}; ${machine}); the rest is computed by the formula.`,
  ].join("\n\n");
}

function redisFor(quietShare: number): string {
  if (quietShare < 0.1) return "one that has other work too";
  if (quietShare < HALF) return "one with a core of its own";
  return "more than one core does: fewer nodes, each shared by several Envoys";
}
