/** How a script removes old entries: `~` is cheap, and rather keeps too many than too few. */
import { PACKED_FIELD } from "./packed-entry.js";

/**
 * Lua, for the top of a script whose KEYS are log and meta: `trim(id)` removes entries before `id`,
 * whole nodes of the stream at a time and at most ten thousand entries, and records the new oldest
 * entry in `first_seq`. Returns how many were removed.
 */
export const TRIM_FUNCTION = `
local function trim(before)
  local trimmed = redis.call('XTRIM', KEYS[1], 'MINID', '~', before)
  local oldest = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
  for i = 1, oldest and #oldest[2] or 0, 2 do
    local name, value = oldest[2][i], oldest[2][i + 1]
    local seq = name == 'seq' and value or name == '${PACKED_FIELD}' and string.match(value, '^%[(%d+),')
    if seq then redis.call('HSET', KEYS[2], 'first_seq', seq) end
  end
  return trimmed
end
`;
