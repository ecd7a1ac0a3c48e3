import { parseArgs } from "node:util";

export interface SessionPlan {
  /** One short round: too little to judge times by. */
  readonly small: boolean;
  /** Whether the result replaces the recorded one in bench/results. */
  readonly record: boolean;
  readonly rounds: number;
  readonly ratePerS: number;
  readonly refreshS: number;
  readonly readS: number;
  /** Not counted, before each kind of request; 0: none. */
  readonly warmUpS: number;
  readonly users: number;
  readonly sessionsPerUser: number;
  /** Users of which all is revoked, again and again; they are not among the others. */
  readonly revokedUsers: number;
  readonly nodes: number;
  /** Revocations of each round, one after the other. */
  readonly revocations: number;
  readonly revocationsPerS: number;
  readonly revocationS: number;
  /** How often argon2 is timed alone. */
  readonly hashes: number;
  /** Refreshes per second, in the order in which they are tried. */
  readonly steps: readonly number[];
  readonly stepS: number;
  /** PostgreSQL and Redis share the service's core instead of running beside the load generator. */
  readonly together: boolean;
}

export type SessionArguments =
  | { readonly kind: "help" }
  | { readonly kind: "wrong"; readonly message: string }
  | { readonly kind: "run"; readonly plan: SessionPlan };

const FULL = {
  rounds: 3,
  ratePerS: 200,
  refreshS: 8,
  readS: 3,
  warmUpS: 2,
  users: 40,
  sessionsPerUser: 8,
  revokedUsers: 10,
  nodes: 3,
  revocations: 40,
  revocationsPerS: 10,
  revocationS: 4,
  hashes: 20,
  steps: [100, 200, 300, 400, 600, 800],
  stepS: 4,
} as const;

const SMALL = {
  rounds: 1,
  ratePerS: 40,
  refreshS: 1,
  readS: 1,
  warmUpS: 0,
  users: 6,
  sessionsPerUser: 5,
  revokedUsers: 2,
  nodes: 3,
  revocations: 4,
  revocationsPerS: 5,
  revocationS: 1,
  hashes: 2,
  steps: [40],
  stepS: 1,
} as const;

export const SESSION_USAGE = `usage: npm run bench -- sessions [options]

The session service with PostgreSQL: refreshes and reads at a fixed rate, logins, revocations with the
receipt of three nodes, memory, and how many refreshes one core can do.
  --small       one short round: judges the answers, not the time
  --record      replaces the recorded result; goes with no other option
  --together    PostgreSQL and Redis share the service's core
  --help        this text

The result is written to dist/bench-last-sessions.*, and with --record to bench/results. A target that
is missed is told, and is no reason for an exit code other than 0; a wrong answer is.`;

export function readSessionArguments(args: readonly string[]): SessionArguments {
  let values;
  try {
    const flag = { type: "boolean" } as const;
    const help = { ...flag, short: "h" } as const;
    ({ values } = parseArgs({
      args: [...args],
      options: { small: flag, record: flag, together: flag, help },
    }));
  } catch (error) {
    return { kind: "wrong", message: error instanceof Error ? error.message : String(error) };
  }
  if (values.help === true) return { kind: "help" };
  const { small = false, record = false, together = false } = values;
  if (record && (small || together)) {
    return { kind: "wrong", message: "--record goes with no other option: it is the full run" };
  }
  return { kind: "run", plan: { small, record, together, ...(small ? SMALL : FULL) } };
}
