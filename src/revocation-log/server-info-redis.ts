/** A Redis server's report of itself (INFO, sections `server` and `replication`). */
import { isIdentified, unidentifiedServer } from "./log-server.js";
import { RevocationLogError, type LogServer } from "./revocation-log.js";

/**
 * `server`, `replication`: the replies to `INFO server` and `INFO replication`. `address`: where the
 * server was reached, for messages.
 */
export function serverIn(server: string, replication: string, address: string): LogServer {
  return {
    runId: valueIn(server, "run_id"),
    ...replicationIn(replication),
    description: describe(server, address),
  };
}

/** From the reply to `INFO replication` alone. */
export function replicationIn(replication: string): Pick<LogServer, "replId" | "replicas"> {
  const replicas = valueIn(replication, "connected_slaves") ?? "";
  return {
    replId: valueIn(replication, "master_replid"),
    replicas: /^[0-9]{1,6}$/.test(replicas) ? Number(replicas) : undefined,
  };
}

/** Lua, for the top of a script: `replid()` is the server's replication ID, '' where it has none. */
export const REPLID_FUNCTION = `
local function replid()
  return string.match(redis.call('INFO', 'replication'), 'master_replid:(%w+)') or ''
end
`;

/** Throws a RevocationLogError where the server reports no identity. */
export function assertIdentified(server: LogServer): { readonly runId: string } {
  const { runId } = server;
  if (runId !== undefined && isIdentified(server)) return { runId };
  throw new RevocationLogError("unavailable", unidentifiedServer(server));
}

function valueIn(info: string, name: string): string | undefined {
  return new RegExp(`^${name}:([^\\r\\n]+?)\\s*$`, "m").exec(info)?.[1];
}

/** The lines of INFO by which servers and their look-alikes name themselves. */
const NAMED = /^(server_name|[a-z]+_version|redis_mode):([\x21-\x7e]{1,64})\s*$/;
const NAMED_MAX = 4;

function describe(server: string, address: string): string {
  const lines = server.split("\n").flatMap((line) => {
    const [, name, value] = NAMED.exec(line) ?? [];
    return name === undefined || name === "gcc_version" ? [] : [`${name} ${value}`];
  });
  const versions = lines.slice(0, NAMED_MAX).join(", ");
  return versions === "" ? address : `${address} (${versions})`;
}
