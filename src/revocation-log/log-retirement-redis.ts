/** Marks a log in Redis as retired, or as in use again. */
import { z } from "zod";
import type { OpenRedisConnection } from "./connection-redis.js";
import { toLogError } from "./error-redis.js";
import type { PartitionKeys } from "./partition.js";
import { parse } from "./replies-redis.js";

const TIMEOUT_MS = 2000;
const WAIT_TIMEOUT_MS = 1000;

/*
 * KEYS: log, meta. ARGV: the generation that was judged. A log that is being restored is left alone:
 * the restore would delete the mark. An existing time is kept, but written again, so that WAIT
 * covers it.
 */
const CHECK = `
local meta = redis.call('HMGET', KEYS[2], 'generation', 'restoring', 'retired_at')
if meta[2] then return {'restoring'} end
if meta[1] ~= ARGV[1] then return {'replaced'} end
`;
const RETIRE_SCRIPT = `${CHECK}
local time = redis.call('TIME')
local at = meta[3] or string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
redis.call('HSET', KEYS[2], 'retired_at', at)
return {'done', meta[3] and 1 or 0}
`;
const REOPEN_SCRIPT = `${CHECK}
redis.call('HDEL', KEYS[2], 'retired_at')
return {'done', meta[3] and 0 or 1}
`;

const replySchema = z.union([
  z.tuple([z.literal("done"), z.union([z.literal(0), z.literal(1)])]),
  z.tuple([z.enum(["restoring", "replaced"])]),
]);

/**
 * - `done`: the log is as requested, on this many replicas; `already`: it was so before.
 * - `restoring`: a restore is in progress, or was abandoned.
 * - `replaced`: the log is no longer the one that was judged.
 */
export type RetirementOutcome =
  | { readonly kind: "done"; readonly already: boolean; readonly replicas: number }
  | { readonly kind: "restoring" | "replaced" };

export interface RetirementRequest {
  readonly to: "retired" | "in_use";
  readonly generation: string;
  /** How many replicas to wait for. */
  readonly minReplicas: number;
}

/** Rejects with a RevocationLogError. Bounded in time. */
export async function setRetirement(
  open: OpenRedisConnection,
  { log, meta }: PartitionKeys,
  { to, generation, minReplicas }: RetirementRequest,
): Promise<RetirementOutcome> {
  try {
    const connection = await open();
    try {
      const script = to === "retired" ? RETIRE_SCRIPT : REOPEN_SCRIPT;
      const command = connection.client.eval(script, 2, log, meta, generation);
      const reply: unknown = await connection.within(TIMEOUT_MS, "EVAL", command);
      const [kind, already] = parse("EVAL", replySchema, reply);
      if (kind !== "done") return { kind };
      const replicas =
        minReplicas === 0
          ? 0
          : await connection.within(
              WAIT_TIMEOUT_MS + 500,
              "WAIT",
              connection.client.wait(minReplicas, WAIT_TIMEOUT_MS),
            );
      return { kind, already: already === 1, replicas };
    } finally {
      connection.close();
    }
  } catch (error) {
    throw toLogError("log retire", error);
  }
}
