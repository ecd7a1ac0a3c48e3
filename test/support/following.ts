/** A follower against a real Redis, with everything that a test wants to see of it. */
import { randomUUID } from "node:crypto";
import { z } from "zod";
import { waitUntil } from "../../dev/wait-for.js";
import { systemClock, type Clock } from "../../src/runtime/clock.js";
import { redisConnections } from "../../src/revocation-log/connection-redis.js";
import type { LogEntry, Revocation } from "../../src/revocation-log/entry.js";
import { Follower, type FollowerOptions } from "../../src/authz/follow/follower.js";
import { LocalState } from "../../src/authz/follow/local-state.js";
import { openLog, type OpenLogRequest } from "../../src/revocation-log/log-opening-redis.js";
import type { LogRequirements } from "../../src/authz/follow/log-examination.js";
import type { ResyncCause } from "../../src/authz/follow/log-order.js";
import { LOG_KEYS } from "../../src/revocation-log/partition.js";
import { RedisPublisher } from "../../src/revocation-log/publisher-redis.js";
import type { PublishOutcome } from "../../src/revocation-log/publisher.js";
import { revocationLogInRedis } from "../../src/revocation-log/revocation-log-redis.js";
import type { RevocationLog } from "../../src/revocation-log/revocation-log.js";
import { patientConnections } from "./patient-connections.js";
import { tokenNames } from "./token-names.js";

export const KEYS = LOG_KEYS;
export const HORIZON_S = 970;

/** What a node demands of a log, unless a test says otherwise. */
export const REQUIRED: LogRequirements = {
  skewMs: 5000,
  horizonS: HORIZON_S,
  minReplicas: 0,
  unkeptMaxMs: undefined,
};

export function initLog(url: string, change: Partial<OpenLogRequest> = {}) {
  return openLog(patientConnections(url), KEYS, {
    generation: randomUUID(),
    authority: "redis",
    horizonS: HORIZON_S,
    nothingWasRevoked: true,
    replace: false,
    minReplicas: 0,
    ...change,
  });
}

/** Publishes one revocation on a connection of its own. */
export async function publish(
  url: string,
  revocation: Revocation,
  clock: Clock = systemClock,
): Promise<PublishOutcome> {
  const open = patientConnections(url);
  const options = {
    open,
    keys: KEYS,
    clock,
    authority: "redis",
    minReplicas: 0,
    clockSkewS: 5,
  } as const;
  const publisher = new RedisPublisher(options);
  try {
    const eventId = randomUUID();
    const atMs = clock.wallMs();
    return await publisher.publish({
      revocation,
      eventId,
      atMs,
      reason: undefined,
      actor: undefined,
    });
  } finally {
    publisher.close();
  }
}

export const endOf = (session: string, tenant = "acme"): Revocation => ({
  kind: "session_revoked",
  tenant,
  session,
  user: undefined,
});

/** The groups of the log, by name. */
export async function groupNames(url: string): Promise<readonly string[]> {
  const schema = z.array(z.tuple([z.string(), z.string()]).rest(z.unknown()));
  const groups = schema.parse(await redis(url, "XINFO", "GROUPS", KEYS.log));
  return groups.map(([, name]) => name);
}

/** Runs one command and gives its reply. */
export async function redis(url: string, command: string, ...args: string[]): Promise<unknown> {
  const connection = await patientConnections(url)();
  try {
    return await connection.client.call(command, ...args);
  } finally {
    connection.close();
  }
}

export interface Following {
  readonly follower: Follower;
  readonly state: LocalState;
  readonly applied: LogEntry[];
  readonly resyncs: ResyncCause[];
  /** Codes of problems in the order in which they came; undefined: back in step. */
  readonly problems: (string | undefined)[];
  /** What was said of each of them. */
  readonly messages: (string | undefined)[];
  /** How many replicas stood by unprotected, each time that it said so. */
  readonly unprotected: number[];
  /** How many times it went on in a restored log, without reading all of it. */
  readonly continued: () => number;
  /** How many times the log was examined. */
  readonly examined: () => number;
  readonly knows: (session: string) => boolean;
  readonly until: (what: string, isSo: (following: Following) => boolean) => Promise<void>;
  readonly untilFresh: () => Promise<void>;
  /** Until this is what keeps it from being in step; answers what it says of it. */
  readonly untilProblem: (code: string) => Promise<string>;
}

export const MAX_STALENESS_MS = 1000;

/** For states that come by themselves; far longer than any of them takes. */
export const UNTIL_MS = 30_000;

/** Starts a follower; the caller closes it. */
export function follow(
  url: string,
  change: Partial<FollowerOptions> & { readonly maxEntries?: number } = {},
): Following {
  const clock = change.clock ?? systemClock;
  const state = new LocalState(change.maxEntries ?? 10_000, clock);
  const applied: LogEntry[] = [];
  const resyncs: ResyncCause[] = [];
  const problems: (string | undefined)[] = [];
  const messages: (string | undefined)[] = [];
  const unprotected: number[] = [];
  let examinations = 0;
  let continuations = 0;
  const inRedis = revocationLogInRedis(redisConnections({ url }), KEYS, clock);
  const log: RevocationLog = {
    connect: async () => {
      const connection = await inRedis.connect();
      const facts = connection.facts.bind(connection);
      return Object.assign(connection, {
        facts: () => {
          examinations += 1;
          return facts();
        },
      });
    },
  };
  const follower = new Follower({
    log,
    state,
    clock,
    groupPrefix: `node-1:${randomUUID().replaceAll("-", "").slice(0, 12)}`,
    required: REQUIRED,
    maxStalenessMs: MAX_STALENESS_MS,
    onStale: "deny",
    observer: {
      applied: (entry) => applied.push(entry),
      resync: (cause) => resyncs.push(cause),
      continued: () => {
        continuations += 1;
      },
      problem: (problem) => {
        problems.push(problem?.code);
        messages.push(problem?.message);
      },
      unprotectedFailover: (replicas) => unprotected.push(replicas),
    },
    random: Math.random,
    ...change,
  });
  follower.start();
  const until = (what: string, isSo: (one: Following) => boolean): Promise<void> =>
    waitUntil(() => isSo(following), {
      what,
      timeoutMs: UNTIL_MS,
      everyMs: 5,
      failure: (message) => new Error(`${message}: ${JSON.stringify(follower.status())}`),
    });
  const following: Following = {
    follower,
    state,
    applied,
    resyncs,
    problems,
    messages,
    unprotected,
    examined: () => examinations,
    continued: () => continuations,
    knows: (session) => state.lookUp(tokenNames("acme", "nobody", session)).sessionRevoked,
    until,
    untilProblem: async (code) => {
      await until(code, () => follower.status().problem?.code === code);
      return follower.status().problem?.message ?? "";
    },
    untilFresh: () => until("freshness", () => follower.stalenessMs() < MAX_STALENESS_MS),
  };
  return following;
}
