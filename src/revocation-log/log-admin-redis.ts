/**
 * The log admin in Redis. Each step of a restore is one Lua script: it is done completely or not at
 * all, even if this process is killed meanwhile.
 *
 * Between `clear` and `finish` the hash `meta` holds only the marker and the entry reached.
 *
 * Nodes' rows are not touched: each carries its generation, so none confirms an entry of another
 * log, and a node that has not come back yet stays visible as pending.
 */
import { z } from "zod";
import type { OpenRedisConnection } from "./connection-redis.js";
import { entryFields, whyUnreadable } from "./entry-fields.js";
import { ENTRY_VERSION } from "./entry.js";
import { SharedConnection, type SharedServer } from "./shared-connection-redis.js";
import { APPEND_MAX_ENTRIES, READ_BACK_MAX_ENTRIES } from "./log-admin.js";
import type {
  BegunRestore,
  LogAdminFacts,
  LogAdmin,
  RestoredEntry,
  RestoredLog,
  RestoreStep,
  TrimRequest,
} from "./log-admin.js";
import { META_FIELDS, parseMeta } from "./meta-redis.js";
import { stampLog } from "./log-stamp-redis.js";
import { packedTail } from "./packed-entry.js";
import { PARTITIONS, type PartitionKeys } from "./partition.js";
import type { NodeRows } from "./receipt.js";
import { decodeRecordedEntry, type RecordedEntry } from "./recorded-entry.js";
import { entriesIn, parse, roleIn, runAll, timeToMs } from "./replies-redis.js";
import {
  APPEND_SCRIPT,
  BEGIN_SCRIPT,
  CLEAR_SCRIPT,
  FINISH_SCRIPT,
} from "./restore-scripts-redis.js";
import { replicationIn } from "./server-info-redis.js";
import { removeSilentGroups } from "./silent-groups-redis.js";
import { TRIM_FUNCTION } from "./trimming-redis.js";

/** Facts are requested ten times a second; a server slower than this counts as unavailable. */
const FACTS_TIMEOUT_MS = 1000;
/** Deleting a large log, or appending a whole batch, on a busy server. */
const STEP_TIMEOUT_MS = 2000;

/* In all scripts: KEYS: log, meta. Those of a restore are in `restore-scripts-redis.ts`. */

/*
 * ARGV: generation, the last entry that the database knows, the caller's clock (ms).
 *
 * The server process is not compared: what is known and too old may go from any copy of the log.
 */
const TRIM_SCRIPT = `${TRIM_FUNCTION}
local meta = redis.call('HMGET', KEYS[2], 'generation', 'authority', 'horizon_s', 'restoring')
if meta[1] ~= ARGV[1] or meta[2] ~= 'database' or meta[4] then return 0 end
local time = redis.call('TIME')
local redis_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local oldest_ms = math.max(0, math.min(redis_ms, tonumber(ARGV[3])) - tonumber(meta[3]) * 1000)
if tonumber(string.match(ARGV[2], '^%d+')) <= oldest_ms then return trim(ARGV[2]) end
return trim(string.format('%.0f', oldest_ms))
`;

/* ARGV: generation, replicas. */
const DEMAND_REPLICAS_SCRIPT = `
local meta = redis.call('HMGET', KEYS[2], 'generation', 'authority', 'restoring')
if meta[1] ~= ARGV[1] or meta[2] ~= 'database' or meta[3] then return 0 end
return redis.call('HSET', KEYS[2], 'min_replicas', ARGV[2])
`;

const beganSchema = z.enum(["done", "log_retired"]);

const stepSchema = z.union([
  z.tuple([z.literal("done"), z.int(), z.string()]),
  z.tuple([z.enum(["marker_lost", "entries_lost", "server_changed", "not_cleared"])]),
]);

export class RedisLogAdmin implements LogAdmin {
  readonly #shared: SharedConnection;
  readonly #keys: PartitionKeys;
  /** The last restore that was begun here, and its server process. */
  #begun: { readonly marker: string; readonly runId: string } | undefined;

  constructor(open: OpenRedisConnection, keys: PartitionKeys) {
    this.#shared = new SharedConnection(open);
    this.#keys = keys;
  }

  facts(): Promise<LogAdminFacts> {
    return this.#shared.use("ROLE, TIME", async ({ connection, runId }) => {
      const transaction = connection.client.multi();
      transaction.call("ROLE");
      transaction.time();
      transaction.info("replication");
      transaction.hmget(this.#keys.meta, ...META_FIELDS);
      const [role, time, replication, meta] = await runAll(
        connection,
        FACTS_TIMEOUT_MS,
        "ROLE, TIME",
        transaction,
      );
      return {
        role: roleIn(role),
        serverRunId: runId,
        serverReplId: replicationIn(parse("INFO", z.string(), replication)).replId,
        serverMs: timeToMs(time),
        meta: parseMeta(meta),
      };
    });
  }

  entriesAfter(id: string | undefined, count: number): Promise<readonly RecordedEntry[]> {
    assertAtMost(count, READ_BACK_MAX_ENTRIES);
    return this.#shared.use("XRANGE", async ({ connection }) => {
      const from = id === undefined ? "-" : `(${id}`;
      const command = connection.client.xrange(this.#keys.log, from, "+", "COUNT", count);
      const reply: unknown = await connection.within(STEP_TIMEOUT_MS, "XRANGE", command);
      return entriesIn("XRANGE", reply).map(decodeRecordedEntry);
    });
  }

  beginRestore(marker: string): Promise<BegunRestore> {
    this.#begun = undefined;
    return this.#shared.use("begin restore", async ({ connection, runId }) => {
      const { log, meta } = this.#keys;
      const command = connection.client.eval(BEGIN_SCRIPT, 2, log, meta, marker);
      const reply: unknown = await connection.within(STEP_TIMEOUT_MS, "EVAL", command);
      const began = parse("EVAL", beganSchema, reply);
      if (began !== "done") return { done: false, code: began };
      this.#begun = { marker, runId };
      return { done: true };
    });
  }

  clear(marker: string): Promise<RestoreStep> {
    return this.#step("clear", marker, CLEAR_SCRIPT, () => [ENTRY_VERSION]);
  }

  append(
    marker: string,
    horizonS: number,
    entries: readonly RestoredEntry[],
  ): Promise<RestoreStep> {
    assertAtMost(entries.length, APPEND_MAX_ENTRIES);
    for (const entry of entries) {
      const unreadable = whyUnreadable(entry, Math.floor(entry.atMs));
      if (unreadable !== undefined) throw new RangeError(`${entry.eventId ?? ""}: ${unreadable}`);
    }
    return this.#step("append", marker, APPEND_SCRIPT, () =>
      entries.flatMap((entry) => {
        const atMs = Math.floor(entry.atMs);
        const forgetAtMs = atMs + horizonS * 1000;
        const fields = entryFields(entry);
        return [atMs, forgetAtMs, packedTail(entry), fields.length, ...fields];
      }),
    );
  }

  finish(marker: string, log: RestoredLog): Promise<RestoreStep> {
    const { generation, horizonS, coversFromMs, minReplicas, previous } = log;
    return this.#step("finish", marker, FINISH_SCRIPT, (runId) => [
      generation,
      runId,
      horizonS,
      PARTITIONS,
      coversFromMs,
      minReplicas,
      previous?.generation ?? "",
      previous?.seq ?? 0,
      previous?.tailId ?? "",
      previous?.tailSeq ?? 0,
    ]);
  }

  trim({ generation, knownUpToId, nowMs }: TrimRequest): Promise<number> {
    return this.#shared.use("trim", async ({ connection }) => {
      const { log, meta } = this.#keys;
      const given = [generation, knownUpToId, Math.floor(nowMs)];
      const command = connection.client.eval(TRIM_SCRIPT, 2, log, meta, ...given);
      const reply: unknown = await connection.within(STEP_TIMEOUT_MS, "EVAL", command);
      return parse("EVAL", z.int(), reply);
    });
  }

  keep(generation: string): Promise<NodeRows | undefined> {
    return this.#shared.use("keep", (server) => stampLog(server, this.#keys, generation));
  }

  async demandReplicas(generation: string, minReplicas: number): Promise<void> {
    await this.#shared.use("demand replicas", async ({ connection }) => {
      const { log, meta } = this.#keys;
      const given = [generation, minReplicas];
      const command = connection.client.eval(DEMAND_REPLICAS_SCRIPT, 2, log, meta, ...given);
      await connection.within<unknown>(STEP_TIMEOUT_MS, "EVAL", command);
    });
  }

  removeSilentRows(notSeenForMs: number): Promise<number> {
    return this.#shared.use("XINFO GROUPS", async ({ connection }) => {
      const time: unknown = await connection.within(
        FACTS_TIMEOUT_MS,
        "TIME",
        connection.client.time(),
      );
      return removeSilentGroups(connection, this.#keys, timeToMs(time) - notSeenForMs);
    });
  }

  close(): void {
    this.#shared.close();
  }

  async #step(
    what: string,
    marker: string,
    script: string,
    args: (runId: string) => readonly (string | number)[],
  ): Promise<RestoreStep> {
    const [result, seq, id] = await this.#shared.use(`${what} of a restore`, async (server) => {
      const begun = this.#begun;
      if (begun?.marker !== marker) return ["marker_lost"] as const;
      if (begun.runId !== server.runId) return ["server_changed"] as const;
      return this.#run(server, script, [marker, ...args(server.runId)]);
    });
    if (result === "done") return { done: true, seq, id };
    if (result === "not_cleared") throw new Error(`${what} before the log was cleared`);
    return { done: false, code: result };
  }

  async #run(
    { connection }: SharedServer,
    script: string,
    args: readonly (string | number)[],
  ): Promise<z.infer<typeof stepSchema>> {
    const { log, meta } = this.#keys;
    const command = connection.client.eval(script, 2, log, meta, ...args);
    const reply: unknown = await connection.within(STEP_TIMEOUT_MS, "EVAL", command);
    return parse("EVAL", stepSchema, reply);
  }
}

function assertAtMost(count: number, max: number): void {
  if (count > max) throw new RangeError(`${count} entries at once, at most ${max} are allowed`);
}
