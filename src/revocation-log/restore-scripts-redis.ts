/** The steps of a restore (`LogAdmin`): each is done completely or not at all. */
import { PACKED_FIELD } from "./packed-entry.js";
import { REPLID_FUNCTION } from "./server-info-redis.js";

/*
 * KEYS: log, meta. ARGV[1]: the marker.
 *
 * Entries get new IDs, so that nodes remember each for at least a whole horizon from now: longer
 * than needed, never shorter, whatever clock it was decided by.
 */
export const BEGIN_SCRIPT = `
if redis.call('HMGET', KEYS[2], 'retired_at')[1] then return 'log_retired' end
redis.call('HSET', KEYS[2], 'restoring', ARGV[1])
return 'done'
`;

export const CLEAR_SCRIPT = `${REPLID_FUNCTION}
if redis.call('HMGET', KEYS[2], 'restoring')[1] ~= ARGV[1] then return {'marker_lost'} end
local format = redis.call('HMGET', KEYS[2], 'format')[1]
redis.call('DEL', KEYS[1], KEYS[2])
if format then redis.call('HSET', KEYS[2], 'format', format) end
local time = redis.call('TIME')
local id = redis.call('XADD', KEYS[1], '*', 'v', ARGV[2], 'seq', '1', 'kind', 'log_opened',
  'at', string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000)))
redis.call('HSET', KEYS[2], 'restoring', ARGV[1], 'seq', '1', 'last_id', id, 'replid', replid())
return {'done', 1, id}
`;

/* Further ARGV per entry: decided at, forget at (ms), the rest packed, count of the pairs, pairs. */
export const APPEND_SCRIPT = `
local meta = redis.call('HMGET', KEYS[2], 'restoring', 'seq', 'generation', 'format', 'last_id')
if meta[1] ~= ARGV[1] then return {'marker_lost'} end
if meta[3] or not meta[2] then return {'not_cleared'} end
local seq = tonumber(meta[2])
local id = meta[5]
local at = 2
while at <= #ARGV do
  local decided, forget_at, packed, count = unpack(ARGV, at, at + 3)
  local last = at + 3 + tonumber(count)
  seq = seq + 1
  if meta[4] == '2' then
    id = redis.call('XADD', KEYS[1], '*', '${PACKED_FIELD}',
      '[' .. string.format('%.0f', seq) .. ',' .. decided .. ',' .. forget_at .. ',' .. packed)
  else
    id = redis.call('XADD', KEYS[1], '*', 'seq', string.format('%.0f', seq), 'at', decided,
      'forget_at', forget_at, unpack(ARGV, at + 4, last))
  end
  at = last + 1
end
redis.call('HSET', KEYS[2], 'seq', string.format('%.0f', seq), 'last_id', id)
return {'done', seq, id}
`;

/*
 * Further ARGV: generation, run id, horizon (s), partitions, covers from (ms), replicas, and of what was
 * taken over from the log before: generation, seq, and the tail's ID and seq; '' for nothing.
 */
export const FINISH_SCRIPT = `${REPLID_FUNCTION}
local meta = redis.call('HMGET', KEYS[2], 'restoring', 'seq', 'generation', 'replid', 'last_id')
if meta[1] ~= ARGV[1] then return {'marker_lost'} end
if meta[3] or not meta[2] then return {'not_cleared'} end
if meta[4] ~= replid() then return {'server_changed'} end
local seq = tonumber(meta[2])
if redis.call('XLEN', KEYS[1]) ~= seq then return {'entries_lost'} end
redis.call('HSET', KEYS[2], 'generation', ARGV[2], 'first_seq', '1', 'run_id', ARGV[3],
  'authority', 'database', 'horizon_s', ARGV[4], 'partitions', ARGV[5], 'covers_from', ARGV[6],
  'min_replicas', ARGV[7])
local time = redis.call('TIME')
redis.call('HSET', KEYS[2], 'kept_at',
  string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000)))
if ARGV[8] ~= '' then
  redis.call('HSET', KEYS[2], 'prev_generation', ARGV[8], 'prev_seq', ARGV[9], 'tail_id', ARGV[10],
    'tail_seq', ARGV[11])
end
redis.call('HDEL', KEYS[2], 'restoring', 'last_id')
return {'done', seq, meta[5]}
`;
