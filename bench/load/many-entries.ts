/** Writes many revocations at once, each as the publish script writes it. */
import { redisConnections } from "../../src/revocation-log/connection-redis.js";
import { entryFields } from "../../src/revocation-log/entry-fields.js";
import { PACKED_FIELD, packedTail, type LogFormat } from "../../src/revocation-log/packed-entry.js";
import { LOG_KEYS } from "../../src/revocation-log/partition.js";

/** In one script: Redis stands still for some milliseconds. */
const AT_ONCE = 500;
const TENANTS = 100;
/** Longer than any run. */
const FORGOTTEN_AFTER_MS = 970_000;

/** Returns the last seq. */
export async function writeEntries(
  redisUrl: string,
  { entries, format }: { readonly entries: number; readonly format: LogFormat },
): Promise<number> {
  const connection = await redisConnections({ url: redisUrl })();
  try {
    const { log, meta } = LOG_KEYS;
    let seq = 0;
    for (let written = 0; written < entries; written += AT_ONCE) {
      const count = Math.min(entries - written, AT_ONCE);
      const content = contentOf((written / AT_ONCE) % TENANTS);
      const [field, texts] =
        format === 1 ? ["", entryFields(content)] : [PACKED_FIELD, [packedTail(content)]];
      const nowMs = Date.now();
      const times = [nowMs, nowMs + FORGOTTEN_AFTER_MS];
      const command = connection.client.eval(
        SCRIPT,
        2,
        log,
        meta,
        count,
        ...times,
        field,
        ...texts,
      );
      seq = Number(await command);
    }
    return seq;
  } finally {
    connection.close();
  }
}

/** `#` stands for the entry's seq. */
function contentOf(tenant: number) {
  const revocation = {
    kind: "session_revoked",
    tenant: `tenant-${tenant}`,
    user: "user-#",
    session: "b0a4c3f2-6d1e-4b7a-9c55-#",
  } as const;
  const eventId = "7f1c2d3e-4b5a-4968-8776-#";
  return { revocation, eventId, reason: "benchmark", actor: "benchmark", origin: undefined };
}

/** KEYS: log, meta. ARGV: how many, at, forget_at, the packed field or '', what it holds or all fields. */
const SCRIPT = `
  local seq = tonumber(redis.call('HGET', KEYS[2], 'seq'))
  for i = 1, tonumber(ARGV[1]) do
    seq = seq + 1
    local number = string.format('%.0f', seq)
    local texts = {}
    for j = 5, #ARGV do texts[j - 4] = string.gsub(ARGV[j], '#', number) end
    if ARGV[4] == '' then
      redis.call('XADD', KEYS[1], '*', 'seq', number, 'at', ARGV[2], 'forget_at', ARGV[3], unpack(texts))
    else
      redis.call('XADD', KEYS[1], '*', ARGV[4],
        '[' .. number .. ',' .. ARGV[2] .. ',' .. ARGV[3] .. ',' .. texts[1])
    end
  end
  redis.call('HSET', KEYS[2], 'seq', seq)
  return seq`;
