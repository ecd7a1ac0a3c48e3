/**
 * Opens a revocation log: `meta` and a first entry, in one script, so that a half-opened log is never
 * visible. An existing log is left alone unless it is to be replaced; only its horizon may be raised,
 * and not that of a retired one.
 */
import { z } from "zod";
import type { OpenRedisConnection } from "./connection-redis.js";
import { toLogError } from "./error-redis.js";
import { ENTRY_VERSION } from "./entry.js";
import { CUT_OFF_MARGIN_S } from "./horizon.js";
import { PARTITIONS, type PartitionKeys } from "./partition.js";
import { parse } from "./replies-redis.js";
import { REPLID_FUNCTION, addressOf, assertIdentified, serverIn } from "./server-info-redis.js";
import type { Authority } from "./revocation-log.js";

const TIMEOUT_MS = 2000;

/*
 * KEYS: log, meta, nodes. ARGV: generation, authority, horizon (s), partitions, 1 if nothing was
 * revoked before, 1 to replace, entry version, how far a lost cut-off may reach beyond the skew (ms),
 * how many replicas must have an entry, 1 to set that for an existing log too.
 *
 * Raising the horizon keeps the entries, but those older than the old horizon are already trimmed:
 * the log covers only what came since.
 */
const OPEN_SCRIPT = `${REPLID_FUNCTION}
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local run_id = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
local old = redis.call('HMGET', KEYS[2], 'generation', 'seq', 'horizon_s', 'authority', 'covers_from',
  'min_replicas', 'retired_at')
if ARGV[6] ~= '1' and redis.call('EXISTS', KEYS[1], KEYS[2]) > 0 then
  if old[7] then return {'retired', old[7], old[2] or '0'} end
  local was = tonumber(old[3] or '')
  local demanded = old[6] or '0'
  local changes_replicas = ARGV[10] == '1' and old[4] == ARGV[2] and demanded ~= ARGV[9]
  if changes_replicas then redis.call('HSET', KEYS[2], 'min_replicas', ARGV[9]) end
  if was and old[4] == ARGV[2] and was < tonumber(ARGV[3]) then
    local covers = math.max(tonumber(old[5] or '0'), now_ms - was * 1000)
    redis.call('HSET', KEYS[2], 'horizon_s', ARGV[3], 'covers_from', string.format('%.0f', covers))
    return {'raised', old[1], old[2], old[3]}
  end
  if changes_replicas then return {'replicas', old[1], old[2], demanded} end
  return {'exists', old[1] or '', old[2] or '0', old[3] or '0', old[4] or 'unknown'}
end
redis.call('DEL', KEYS[1], KEYS[2], KEYS[3])
local covers = '0'
if ARGV[5] ~= '1' then covers = string.format('%.0f', now_ms + tonumber(ARGV[8])) end
redis.call('XADD', KEYS[1], '*', 'v', ARGV[7], 'seq', '1', 'kind', 'log_opened',
  'at', string.format('%.0f', now_ms))
redis.call('HSET', KEYS[2], 'generation', ARGV[1], 'seq', '1', 'first_seq', '1', 'run_id', run_id,
  'authority', ARGV[2], 'horizon_s', ARGV[3], 'partitions', ARGV[4], 'covers_from', covers,
  'replid', replid(), 'min_replicas', ARGV[9])
if old[1] then return {'replaced', old[1], old[2] or '0'} end
return {'opened'}
`;

const replySchema = z.union([
  z.tuple([z.literal("opened")]),
  z
    .tuple([z.literal("replaced"), z.string(), z.coerce.number()])
    .transform(([kind, generation, seq]) => [kind, { generation, seq }] as const),
  z
    .tuple([z.literal("retired"), z.coerce.number(), z.coerce.number()])
    .transform(([kind, retiredAtMs, seq]) => [kind, { retiredAtMs, seq }] as const),
  z
    .tuple([z.literal("raised"), z.string(), z.coerce.number(), z.coerce.number()])
    .transform(
      ([kind, generation, seq, horizonS]) => [kind, { generation, seq, horizonS }] as const,
    ),
  z
    .tuple([z.literal("replicas"), z.string(), z.coerce.number(), z.coerce.number()])
    .transform(
      ([kind, generation, seq, minReplicas]) => [kind, { generation, seq, minReplicas }] as const,
    ),
  z
    .tuple([z.literal("exists"), z.string(), z.coerce.number(), z.coerce.number(), z.string()])
    .transform(
      ([kind, generation, seq, horizonS, authority]) =>
        [kind, { generation, seq, horizonS, authority }] as const,
    ),
]);

export interface OpenLogRequest {
  /** Random; must never have been used before. */
  readonly generation: string;
  readonly authority: Authority;
  readonly horizonS: number;
  /** The log covers all time, because nothing was ever revoked before it. */
  readonly nothingWasRevoked: boolean;
  readonly replace: boolean;
  /** How many replicas must have an entry before it counts as published. */
  readonly minReplicas: number;
  /** Set that for an existing log too. Left out: no. */
  readonly changeMinReplicas?: boolean;
}

export type OpenLogOutcome = z.infer<typeof replySchema>;

/** Opens the log, or returns what is there already. Rejects with a RevocationLogError. */
export async function openLog(
  open: OpenRedisConnection,
  keys: PartitionKeys,
  request: OpenLogRequest,
): Promise<OpenLogOutcome> {
  const connection = await open();
  try {
    const { client } = connection;
    const asked = Promise.all([client.info("server"), client.info("replication")]);
    const [server, replication] = await connection.within(TIMEOUT_MS, "INFO", asked);
    assertIdentified(serverIn(server, replication, addressOf(client.options)));
    const command = client.eval(
      OPEN_SCRIPT,
      3,
      keys.log,
      keys.meta,
      keys.nodes,
      request.generation,
      request.authority,
      request.horizonS,
      PARTITIONS,
      request.nothingWasRevoked ? 1 : 0,
      request.replace ? 1 : 0,
      ENTRY_VERSION,
      CUT_OFF_MARGIN_S * 1000,
      request.minReplicas,
      request.changeMinReplicas === true ? 1 : 0,
    );
    return parse("EVAL", replySchema, await connection.within(TIMEOUT_MS, "EVAL", command));
  } catch (error) {
    throw toLogError("log init", error);
  } finally {
    connection.close();
  }
}
