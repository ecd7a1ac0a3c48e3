/** Several Redis servers of which one has the log, and another one after a failover. */
import { RedisServer } from "../../dev/redis-server.js";
import { waitFor } from "../../dev/wait-for.js";
import { redis } from "./following.js";

/** For states that come by themselves; far longer than any of them takes. */
export const TOPOLOGY_TIMEOUT_MS = 60_000;

/** As docs/deployment.md asks for it with k = 1, and quicker. */
export const REPLICATION_ARGS = [
  ...["--min-replicas-to-write", "1", "--min-replicas-max-lag", "1"],
  ...["--repl-diskless-sync-delay", "0", "--appendonly", "yes", "--appendfsync", "no"],
];

export interface RedisTopology {
  /** SEKISHO_REDIS_URL. */
  readonly url: string;
  readonly servers: readonly RedisServer[];
  /** The server that has the log now, by those that decide it. */
  readonly master: () => Promise<RedisServer>;
  /** Asks for a failover in good order; another server is the master when it returns. */
  readonly failover: () => Promise<void>;
  /** Until a server that came back follows the master again. */
  readonly rejoin: (server: RedisServer) => Promise<void>;
  readonly close: () => Promise<void>;
}

/** Until another server is the master than this one. */
export async function untilReplaced(
  topology: Pick<RedisTopology, "master">,
  old: RedisServer,
): Promise<RedisServer> {
  return waitFor(
    async () => {
      const now = await topology.master().catch(() => undefined);
      return now === old ? undefined : now;
    },
    { what: "another master", timeoutMs: TOPOLOGY_TIMEOUT_MS, everyMs: 20 },
  );
}

/** Until the master has as many replicas in step as it had at first. */
export async function untilReplicated(
  topology: Pick<RedisTopology, "master">,
  replicas: number,
): Promise<void> {
  await waitFor(
    async () => {
      const { url } = await topology.master();
      const info = String(await redis(url, "INFO", "replication").catch(() => ""));
      return (info.match(/^slave\d+:.*state=online/gm)?.length ?? 0) >= replicas || undefined;
    },
    { what: `${replicas} replicas in step`, timeoutMs: TOPOLOGY_TIMEOUT_MS, everyMs: 20 },
  );
}

export async function startServers(
  count: number,
  args: (index: number) => Promise<readonly string[]> | readonly string[],
  portArgs?: () => Promise<readonly string[]>,
): Promise<RedisServer[]> {
  return Promise.all(
    Array.from({ length: count }, async (_, index) =>
      RedisServer.start({
        args: [...REPLICATION_ARGS, ...(await args(index))],
        ...(portArgs === undefined ? {} : { portArgs }),
      }),
    ),
  );
}
