/** A relay against a real Redis and a real database, with everything that a test wants to see of it. */
import { randomUUID } from "node:crypto";
import { sql } from "drizzle-orm";
import { waitUntil } from "../../dev/wait-for.js";
import { systemClock, type Clock } from "../../src/runtime/clock.js";
import type { Database } from "../../src/sessions/database/database.js";
import type { Queries } from "../../src/sessions/database/queries-sql.js";
import type { DecidedRevocation, Publisher } from "../../src/revocation-log/publisher.js";
import type { RelayProblem } from "../../src/sessions/outbox/relay-decision.js";
import { Relay } from "../../src/sessions/outbox/relay.js";
import type { Restored } from "../../src/sessions/outbox/restore.js";
import { recordRevocations } from "../../src/sessions/outbox/revocation-record-sql.js";
import type { Revocation } from "../../src/revocation-log/entry.js";
import { RedisLogAdmin } from "../../src/revocation-log/log-admin-redis.js";
import type { LogAdminFacts, LogAdmin } from "../../src/revocation-log/log-admin.js";
import { RedisPublisher } from "../../src/revocation-log/publisher-redis.js";
import type { RecordedEntry } from "../../src/revocation-log/recorded-entry.js";
import type { LogMeta } from "../../src/revocation-log/revocation-log.js";
import { changedKeeper } from "./changed-log-admin.js";
import { HORIZON_S, KEYS, endOf } from "./following.js";
import { patientConnections } from "./patient-connections.js";

export interface Relaying {
  readonly relay: Relay;
  readonly restores: Restored[];
  /** As they came; undefined: none any more. */
  readonly problems: (RelayProblem["code"] | undefined)[];
  /** Whether the lock was held, as it changed. */
  readonly lock: boolean[];
  readonly counts: { published: number; imported: number; unreadable: number };
  readonly until: (what: string, isSo: () => boolean | Promise<boolean>) => Promise<void>;
  readonly untilRestored: (times: number) => Promise<void>;
  /** Until a cycle that began after this call has ended. */
  readonly untilNextCycle: () => Promise<void>;
  readonly close: () => Promise<void>;
}

export interface RelayingOptions {
  readonly database: Database;
  readonly url: string;
  readonly clock?: Clock;
  readonly horizonS?: number;
  readonly minReplicas?: number;
  /** Puts something around the log admin. */
  readonly around?: (logAdmin: LogAdmin) => LogAdmin;
}

/** Starts a relay; the caller closes it. */
export function startRelaying(options: RelayingOptions): Relaying {
  const { database, url, clock = systemClock, horizonS = HORIZON_S, around } = options;
  const real = new RedisLogAdmin(patientConnections(url), KEYS);
  const wrapped = around?.(real) ?? real;
  let cycles = 0;
  const logAdmin = countingFacts(wrapped, () => (cycles += 1));
  const publisher = databasePublisher(url);
  const restores: Restored[] = [];
  const problems: (RelayProblem["code"] | undefined)[] = [];
  const lock: boolean[] = [];
  const counts = { published: 0, imported: 0, unreadable: 0 };
  const relay = new Relay({
    database,
    clock,
    logAdmin,
    publisher,
    horizonS,
    minReplicas: options.minReplicas ?? 0,
    newId: randomUUID,
    observer: {
      onLock: (held) => lock.push(held),
      onPublished: (count) => (counts.published += count),
      onRestored: (restored) => restores.push(restored),
      onImported: (imported, unreadable) => {
        counts.imported += imported;
        counts.unreadable += unreadable;
      },
      onProblem: (problem) => problems.push(problem?.code),
    },
  });
  relay.start();
  const until: Relaying["until"] = (what, isSo) =>
    waitUntil(isSo, {
      what,
      timeoutMs: 60_000,
      everyMs: 5,
      failure: (message) => new Error(`${message}: ${JSON.stringify(relay.status())}`),
    });
  return {
    relay,
    restores,
    problems,
    lock,
    counts,
    until,
    untilNextCycle: () => {
      const enough = cycles + 2;
      return until("another cycle", () => cycles >= enough);
    },
    untilRestored: (times) => until(`restore ${times}`, () => restores.length >= times),
    close: async () => {
      await relay.close();
      real.close();
      publisher.close();
    },
  };
}

/** Every cycle begins with asking for the facts. */
function countingFacts(logAdmin: LogAdmin, count: () => void): LogAdmin {
  return changedKeeper(logAdmin, {
    facts: () => {
      count();
      return logAdmin.facts();
    },
  });
}

/** As the session service publishes, or past it; more patient than that unless told otherwise. */
export function databasePublisher(
  url: string,
  breakGlass = false,
  open = patientConnections(url),
): Publisher {
  return new RedisPublisher({
    open,
    keys: KEYS,
    clock: systemClock,
    authority: "database",
    breakGlass,
    minReplicas: 0,
    clockSkewS: 5,
  });
}

export function decided(
  revocation: Revocation,
  change: Partial<DecidedRevocation> = {},
): DecidedRevocation {
  const [eventId, atMs] = [randomUUID(), Date.now()];
  return { eventId, revocation, atMs, reason: undefined, actor: undefined, ...change };
}

/** Decides them as a request does, without publishing. */
export async function commit(
  database: Database,
  ...revocations: readonly DecidedRevocation[]
): Promise<readonly DecidedRevocation[]> {
  return database.transaction({ role: "tenant", tenant: "acme" }, (queries) =>
    recordRevocations(queries, revocations),
  );
}

/** Decides the end of many sessions of the tenant acme, and publishes nothing. */
export const commitEnds = (
  database: Database,
  ...sessions: readonly string[]
): Promise<readonly DecidedRevocation[]> =>
  commit(database, ...sessions.map((session) => decided(endOf(session))));

/** As good as new, but for the audit trail; quicker than another database. */
export async function emptyTables(database: Database): Promise<void> {
  await database.transaction({ role: "relay" }, async (queries) => {
    // As the tables' owner; the transaction's role ends with it.
    await queries.execute(sql`SELECT set_config('role', 'none', true)`);
    await queries.execute(sql`TRUNCATE sekisho.log_records, sekisho.log_nodes, sekisho.revocations,
      sekisho.cut_offs, sekisho.revoked_keys, sekisho.refresh_tokens, sekisho.sessions, sekisho.credentials, sekisho.users`);
  });
}

/** A row of a query, made by one of the roles. */
export async function rows(
  database: Database,
  role: "relay" | "keys" | "purge" | "recovery",
  query: ReturnType<typeof sql>,
): Promise<readonly Record<string, unknown>[]> {
  return database.transaction({ role }, (queries) => rowsOf(queries, query));
}

export async function tenantRows(
  database: Database,
  tenant: string,
  query: ReturnType<typeof sql>,
): Promise<readonly Record<string, unknown>[]> {
  return database.transaction({ role: "tenant", tenant }, (queries) => rowsOf(queries, query));
}

async function rowsOf(
  queries: Queries,
  query: ReturnType<typeof sql>,
): Promise<readonly Record<string, unknown>[]> {
  const found: unknown = await queries.execute(query);
  if (typeof found !== "object" || found === null || !("rows" in found)) throw new Error("no rows");
  if (!Array.isArray(found.rows)) throw new Error("no rows");
  return found.rows.flatMap((row: unknown) =>
    typeof row === "object" && row !== null ? [Object.fromEntries(Object.entries(row))] : [],
  );
}

export interface SeenLog {
  readonly facts: LogAdminFacts;
  readonly meta: LogMeta;
  readonly entries: readonly RecordedEntry[];
  /** The ids of the revocations in it, in order. */
  readonly eventIds: readonly string[];
}

/** The whole log as it stands in Redis. */
export async function seeLog(url: string): Promise<SeenLog> {
  const logAdmin = new RedisLogAdmin(patientConnections(url), KEYS);
  try {
    const facts = await logAdmin.facts();
    const entries: RecordedEntry[] = [];
    for (;;) {
      const page = await logAdmin.entriesAfter(entries.at(-1)?.id, 500);
      entries.push(...page);
      if (page.length < 500) break;
    }
    if (typeof facts.meta === "string") throw new Error(`the log is ${facts.meta}`);
    const eventIds = entries.flatMap((one) =>
      one.kind === "revocation" && one.eventId !== undefined ? [one.eventId] : [],
    );
    return { facts, meta: facts.meta, entries, eventIds };
  } finally {
    logAdmin.close();
  }
}
