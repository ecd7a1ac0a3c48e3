/** A Redis master with replicas whose links to it can be cut, and that can be promoted. */
import { RedisServer } from "../../dev/redis-server.js";
import { waitUntil } from "../../dev/wait-for.js";
import { redis } from "./following.js";
import { TcpProxy } from "./tcp-proxy.js";

const TIMEOUT_MS = 60_000;
/** As README asks for it; short backlogs and quick pings, so that nothing takes long. */
const ARGS = ["--min-replicas-max-lag", "1", "--repl-diskless-sync-delay", "0"];

export class ReplicaSet {
  readonly master: RedisServer;
  readonly replicas: readonly RedisServer[];
  /** Through it the replicas reach the master. */
  readonly link: TcpProxy;
  readonly #late: RedisServer[] = [];

  private constructor(master: RedisServer, replicas: readonly RedisServer[], link: TcpProxy) {
    this.master = master;
    this.replicas = replicas;
    this.link = link;
  }

  /** Starts a master and `count` replicas that are in step with it. */
  static async start(count: number, minReplicas = 0): Promise<ReplicaSet> {
    const args = [...ARGS, "--min-replicas-to-write", String(minReplicas)];
    const master = await RedisServer.start({ args });
    const link = await TcpProxy.start(master.port);
    const of = ["--replicaof", "127.0.0.1", new URL(link.url).port];
    const replicas = await Promise.all(
      Array.from({ length: count }, () => RedisServer.start({ args: [...args, ...of] })),
    );
    const set = new ReplicaSet(master, replicas, link);
    await Promise.all(replicas.map((replica) => untilLinked(replica)));
    return set;
  }

  /** Makes `chosen` a master and the others its replicas, as a failover does; the old one is left. */
  async promote(chosen: RedisServer): Promise<void> {
    await redis(chosen.url, "REPLICAOF", "NO", "ONE");
    const others = this.replicas.filter((replica) => replica !== chosen);
    await Promise.all(others.map((replica) => follow(replica, chosen)));
  }

  /** A further replica of the master, past the link. */
  async add(): Promise<RedisServer> {
    const of = ["--replicaof", "127.0.0.1", String(this.master.port)];
    const replica = await RedisServer.start({ args: [...ARGS, ...of] });
    this.#late.push(replica);
    await untilLinked(replica);
    return replica;
  }

  async close(): Promise<void> {
    this.master.resume();
    await this.link.close();
    await Promise.all([this.master, ...this.replicas, ...this.#late].map((one) => one.close()));
  }
}

/** Makes a server the replica of another one, and waits until it is in step. */
export async function follow(
  replica: RedisServer,
  master: Pick<RedisServer, "port">,
): Promise<void> {
  await redis(replica.url, "REPLICAOF", "127.0.0.1", String(master.port));
  await untilLinked(replica);
}

async function untilLinked(replica: RedisServer): Promise<void> {
  await waitUntil(async () => isLinked(String(await redis(replica.url, "INFO", "replication"))), {
    what: "the replica's link to its master",
    timeoutMs: TIMEOUT_MS,
    everyMs: 20,
  });
}

const isLinked = (info: string): boolean =>
  info.includes("master_link_status:up") && !info.includes("master_sync_in_progress:1");
