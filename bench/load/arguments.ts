import { parseArgs } from "node:util";

/** Tokens live for ten minutes, and all of them are minted at the beginning. */
const RUN_MAX_S = 540;

export interface LoadPlan {
  /** One short round: too little to judge times by. */
  readonly small: boolean;
  /** Whether the result replaces the recorded one in bench/results. */
  readonly record: boolean;
  readonly rounds: number;
  readonly secondsPerSide: number;
  readonly ratePerS: number;
  readonly tokens: number;
  /** Before each side; each token is sent once at least. */
  readonly warmUpS: number;
}

export type Arguments =
  | { readonly kind: "help" }
  | { readonly kind: "wrong"; readonly message: string }
  | { readonly kind: "micro"; readonly small: boolean }
  | { readonly kind: "run"; readonly plan: LoadPlan };

const DEFAULTS = {
  full: { rounds: 3, seconds: 30, rate: 500, tokens: 1000 },
  small: { rounds: 1, seconds: 2, rate: 200, tokens: 100 },
} as const;

const MAXIMA = { rounds: 20, seconds: 300, rate: 5000, tokens: 10_000 } as const;
type NumberName = keyof typeof MAXIMA;

export const USAGE = `usage: npm run bench -- latency [options]

Added latency through one Envoy with and without Sekisho, at a fixed rate of requests.
  --rounds N    both sides are measured so often (${DEFAULTS.full.rounds})
  --seconds N   of requests per side and round (${DEFAULTS.full.seconds})
  --rate N      requests per second (${DEFAULTS.full.rate})
  --tokens N    distinct tokens, sent in turn (${DEFAULTS.full.tokens})
  --small       one short round: judges the answers, not the time
  --record      replaces the recorded result; goes with no other option
  --micro       instead: one check in process, without gRPC and network
  --help        this text

The result is written to dist/bench-last.*, and with --record to bench/results, where the README's numbers
come from (npm run readme).`;

/** Reads the arguments; those that are not understood are told, with what is allowed. */
export function readArguments(args: readonly string[]): Arguments {
  let values;
  try {
    const number = { type: "string" } as const;
    const flag = { type: "boolean" } as const;
    ({ values } = parseArgs({
      args: [...args],
      options: {
        rounds: number,
        seconds: number,
        rate: number,
        tokens: number,
        small: flag,
        micro: flag,
        record: flag,
        help: { ...flag, short: "h" },
      },
    }));
  } catch (error) {
    return { kind: "wrong", message: error instanceof Error ? error.message : String(error) };
  }
  if (values.help === true) return { kind: "help" };
  const small = values.small === true;
  if (values.micro === true) {
    if (Object.keys(values).every((name) => name === "micro" || name === "small")) {
      return { kind: "micro", small };
    }
    return { kind: "wrong", message: "--micro goes with --small only" };
  }
  const record = values.record === true;
  if (record && Object.keys(values).length > 1) {
    return { kind: "wrong", message: "--record goes with no other option: it is the full run" };
  }
  const chosen: Record<NumberName, number> = { ...DEFAULTS[small ? "small" : "full"] };
  for (const name of ["rounds", "seconds", "rate", "tokens"] as const) {
    const text = values[name];
    if (text === undefined) continue;
    const value = /^[0-9]{1,6}$/u.test(text) ? Number(text) : 0;
    if (value < 1 || value > MAXIMA[name]) {
      const message = `--${name} must be a whole number from 1 to ${MAXIMA[name]}, not "${text}"`;
      return { kind: "wrong", message };
    }
    chosen[name] = value;
  }
  const { rounds, seconds: secondsPerSide, rate: ratePerS, tokens } = chosen;
  const warmUpS = Math.ceil(tokens / ratePerS);
  const runS = 2 * rounds * (warmUpS + secondsPerSide);
  if (runS > RUN_MAX_S) {
    const message = `that would take ${runS} s, and the tokens live for ten minutes: at most ${RUN_MAX_S} s`;
    return { kind: "wrong", message };
  }
  return {
    kind: "run",
    plan: { small, record, rounds, secondsPerSide, ratePerS, tokens, warmUpS },
  };
}
