/** A Redis Cluster of three masters with two replicas each. */
import { z } from "zod";
import { takeFreePort } from "../../dev/free-port.js";
import type { RedisServer } from "../../dev/redis-server.js";
import { waitUntil } from "../../dev/wait-for.js";
import { withTimeout } from "../../src/runtime/with-timeout.js";
import { KEYS, redis } from "./following.js";
import {
  TOPOLOGY_TIMEOUT_MS,
  startServers,
  untilReplaced,
  untilReplicated,
  type RedisTopology,
} from "./redis-topology.js";

const MASTERS = 3;
const REPLICAS = 2;
const SLOTS = 16_384;
const ANSWER_TIMEOUT_MS = 300;

/** As docs/deployment.md asks for it, and quicker to fail over. */
const CLUSTER_ARGS = [
  ...["--cluster-enabled", "yes", "--cluster-node-timeout", "1000"],
  ...["--cluster-allow-replica-migration", "no", "--cluster-require-full-coverage", "no"],
];

interface Member {
  readonly id: string;
  readonly server: RedisServer;
}

const idSchema = z.string().regex(/^[0-9a-f]{40}$/);
const slotsSchema = z.array(
  z
    .tuple([z.number(), z.number(), z.tuple([z.string(), z.number()]).rest(z.unknown())])
    .rest(z.unknown()),
);

export class ClusterSet implements RedisTopology {
  readonly servers: readonly RedisServer[];
  readonly #members: readonly Member[];
  readonly #slot: number;

  private constructor(members: readonly Member[], slot: number) {
    this.#members = members;
    this.servers = members.map(({ server }) => server);
    this.#slot = slot;
  }

  /** Starts the servers and waits until all of them see a complete cluster. */
  static async start(): Promise<ClusterSet> {
    const servers = await startServers(
      MASTERS * (1 + REPLICAS),
      () => CLUSTER_ARGS,
      async () => ["--cluster-port", String(await takeFreePort())],
    );
    const busPorts = await Promise.all(servers.map(({ url }) => busPortOf(url)));
    const members = await Promise.all(
      servers.map(async (server) => ({
        server,
        id: idSchema.parse(await redis(server.url, "CLUSTER", "MYID")),
      })),
    );
    const slot = z
      .number()
      .parse(await redis(firstOf(servers).url, "CLUSTER", "KEYSLOT", KEYS.log));
    const set = new ClusterSet(members, slot);
    await set.#form(busPorts);
    await untilReplicated(set, REPLICAS);
    return set;
  }

  get url(): string {
    return `redis+cluster://${this.servers.map(({ port }) => `127.0.0.1:${port}`).join(",")}`;
  }

  /** The server that most of those that answer name. */
  async master(): Promise<RedisServer> {
    const votes = new Map<RedisServer, number>();
    const named = await Promise.all(this.servers.map((one) => this.#masterBy(one)));
    for (const one of named) if (one !== undefined) votes.set(one, (votes.get(one) ?? 0) + 1);
    const [found] = [...votes].find(([, count]) => count > this.servers.length / 2) ?? [];
    if (found === undefined) throw new Error("no majority for a master of the slot");
    return found;
  }

  /** By `CLUSTER FAILOVER`, in good order. */
  async failover(): Promise<void> {
    const old = await this.master();
    const [replica] = await this.#replicasOf(old);
    if (replica === undefined) throw new Error("no replica");
    await redis(replica.url, "CLUSTER", "FAILOVER");
    await untilReplaced(this, old);
  }

  /** A killed server that was started again follows by itself, and writes again a moment later. */
  async rejoin(): Promise<void> {
    await untilReplicated(this, REPLICAS);
    await this.#everywhere(/cluster_state:ok/);
  }

  /** Moves the log's slot to another master, as `redis-cli --cluster reshard` does. */
  async moveSlot(): Promise<void> {
    const source = this.#memberOf(await this.master());
    const target = await this.#otherMaster(source);
    const slot = String(this.#slot);
    await redis(target.server.url, "CLUSTER", "SETSLOT", slot, "IMPORTING", source.id);
    await redis(source.server.url, "CLUSTER", "SETSLOT", slot, "MIGRATING", target.id);
    const port = String(target.server.port);
    for (;;) {
      const keys = z
        .array(z.string())
        .parse(await redis(source.server.url, "CLUSTER", "GETKEYSINSLOT", slot, "10"));
      if (keys.length === 0) break;
      const to = ["127.0.0.1", port, "", "0", "5000"];
      await redis(source.server.url, "MIGRATE", ...to, "KEYS", ...keys);
    }
    for (const { url } of [target.server, source.server]) {
      await redis(url, "CLUSTER", "SETSLOT", slot, "NODE", target.id);
    }
    await untilReplaced(this, source.server);
  }

  async close(): Promise<void> {
    for (const server of this.servers) server.resume();
    await Promise.all(this.servers.map((server) => server.close()));
  }

  async #form(busPorts: readonly number[]): Promise<void> {
    const masters = this.#members.slice(0, MASTERS);
    const first = firstOf(this.servers);
    await Promise.all(
      masters.map(async ({ server }, index) => {
        await redis(server.url, "CLUSTER", "SET-CONFIG-EPOCH", String(index + 1));
        const from = Math.ceil((SLOTS * index) / MASTERS);
        const to = Math.ceil((SLOTS * (index + 1)) / MASTERS) - 1;
        await redis(server.url, "CLUSTER", "ADDSLOTSRANGE", String(from), String(to));
      }),
    );
    for (const [index, { port }] of this.servers.entries()) {
      if (index === 0) continue;
      const at = ["127.0.0.1", String(port), String(busPorts[index])];
      await redis(first.url, "CLUSTER", "MEET", ...at);
    }
    await this.#everywhere(/cluster_known_nodes:9\b/);
    for (const [index, { server }] of this.#members.slice(MASTERS).entries()) {
      await redis(server.url, "CLUSTER", "REPLICATE", masters[index % MASTERS]?.id ?? "");
    }
    await this.#everywhere(/cluster_state:ok/);
  }

  async #everywhere(expected: RegExp): Promise<void> {
    const all = { what: String(expected), timeoutMs: TOPOLOGY_TIMEOUT_MS, everyMs: 20 };
    await Promise.all(
      this.servers.map(({ url }) =>
        waitUntil(async () => expected.test(String(await redis(url, "CLUSTER", "INFO"))), all),
      ),
    );
  }

  async #masterBy({ url }: RedisServer): Promise<RedisServer | undefined> {
    // One that is paused or gone has no say.
    const asking = redis(url, "CLUSTER", "SLOTS");
    const silent = () => new Error("no answer");
    const reply = await withTimeout(asking, ANSWER_TIMEOUT_MS, silent).catch(() => []);
    const range = slotsSchema
      .parse(reply)
      .find(([from, to]) => from <= this.#slot && this.#slot <= to);
    return this.servers.find(({ port }) => port === range?.[2][1]);
  }

  async #replicasOf(master: RedisServer): Promise<readonly RedisServer[]> {
    const { id } = this.#memberOf(master);
    const lines = z.array(z.string()).parse(await redis(master.url, "CLUSTER", "REPLICAS", id));
    return lines.flatMap((line) => {
      const [replicaId, , flags = ""] = line.split(" ");
      const replica = this.#members.find((one) => one.id === replicaId);
      return replica === undefined || flags.includes("fail") ? [] : [replica.server];
    });
  }

  async #otherMaster(than: Member): Promise<Member> {
    const text = String(await redis(than.server.url, "CLUSTER", "NODES"));
    const other = this.#members.find(
      ({ id }) => id !== than.id && new RegExp(`^${id} \\S+ master `, "m").test(text),
    );
    if (other === undefined) throw new Error(`no other master in\n${text}`);
    return other;
  }

  #memberOf(server: RedisServer): Member {
    const member = this.#members.find((one) => one.server === server);
    if (member === undefined) throw new Error("not a server of this cluster");
    return member;
  }
}

async function busPortOf(url: string): Promise<number> {
  const reply = await redis(url, "CONFIG", "GET", "cluster-port");
  return z.tuple([z.string(), z.coerce.number()]).parse(reply)[1];
}

function firstOf<T>([first]: readonly T[]): T {
  if (first === undefined) throw new Error("none");
  return first;
}
