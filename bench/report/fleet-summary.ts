/** The README's block about many revocations and many nodes. */
import { over } from "./fleet-result.js";
import type { BurstResult, PropagationResult, ScaleResult } from "./fleet-result.js";
import { numbersTable, percent, whole } from "./fleet-table.js";
import { milliseconds, wholeNumber } from "./table.js";

const FORMAT = 2;

export interface FleetResults {
  readonly burst: BurstResult;
  readonly propagation: PropagationResult;
  readonly scale: ScaleResult;
}

export function fleetBlock({ burst, propagation, scale }: FleetResults): string {
  const { recordedAt, commit, machine } = scale;
  return [
    "Many revocations at once, at one node that answers 300 checks/s:",
    burstTable(burst),
    "Many nodes, as light readers (the follower's code without the gRPC port, all on the same machine):",
    fleetTable(propagation, scale),
    `Medians of the rounds; recorded ${recordedAt}, commit ${commit}, ` +
      `${machine.cpu}, ${machine.cores} cores. All figures: [bench/results](bench/results).`,
  ].join("\n\n");
}

function burstTable({ bursts }: BurstResult): string {
  const rows = bursts.map(({ entries, format, rounds }) => {
    const [checks, notAllowed] = rounds.reduce(
      ([all, not], round) => [all + round.checks, not + round.notAllowed],
      [0, 0],
    );
    const { median: appliedMs } = over(rounds, (round) => round.appliedMs);
    return [
      wholeNumber(entries),
      String(format),
      whole(appliedMs),
      whole((1000 * entries) / appliedMs),
      whole(over(rounds, ({ stalenessMaxMs }) => stalenessMaxMs).median),
      percent((100 * notAllowed) / checks),
      milliseconds(over(rounds, ({ p99Ms }) => p99Ms).median),
    ];
  });
  return numbersTable(
    [
      ...["revocations", "format of the log", "applied after ms", "applied/s"],
      ...["staleness, most, ms", "checks not allowed", "checks' p99 ms"],
    ],
    rows,
  );
}

function fleetTable({ fleets }: PropagationResult, { bursts, starts }: ScaleResult): string {
  const rows = fleets.flatMap(({ readers, replicas, traffic: [traffic] }) => {
    if (replicas > 0 || traffic === undefined) return [];
    const { everyMs, rounds } = traffic;
    const isOfFleet = (one: { readonly readers: number; readonly format: number }) =>
      one.readers === readers && one.format === FORMAT;
    const [burst, start] = [bursts.find(isOfFleet), starts.find(isOfFleet)];
    return [
      [
        wholeNumber(readers),
        everyMs < 1000 ? `${everyMs} ms` : `${everyMs / 1000} s`,
        milliseconds(over(rounds, ({ any }) => any.p50).median),
        milliseconds(over(rounds, ({ any }) => any.p99).median),
        milliseconds(over(rounds, ({ last }) => last.p99).median),
        burst === undefined ? "–" : wholeNumber(burst.entries),
        burst === undefined ? "–" : whole(over(burst.rounds, ({ lastMs }) => lastMs).median),
        start === undefined ? "–" : whole(over(start.rounds, ({ lastMs }) => lastMs).median),
      ],
    ];
  });
  return numbersTable(
    [
      ...["readers", "a revocation every", "applied after p50 ms", "p99 ms", "by the last: p99 ms"],
      ...["at once", "applied by the last after ms", "start together: the last is fresh after ms"],
    ],
    rows,
  );
}
