/** A Redis master with two replicas, and three Sentinels that watch them. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { StartedProcess } from "../../dev/child-process.js";
import { takeFreePort } from "../../dev/free-port.js";
import { RedisServer, answersPing } from "../../dev/redis-server.js";
import { z } from "zod";
import type { Authority, CertificateFiles } from "./certificates.js";
import { redis } from "./following.js";
import {
  REPLICATION_ARGS,
  TOPOLOGY_TIMEOUT_MS,
  startServers,
  untilReplaced,
  untilReplicated,
  type RedisTopology,
} from "./redis-topology.js";

export const MASTER_NAME = "mymaster";
const REPLICAS = 2;
const SENTINELS = 3;

type SentinelTls = CertificateFiles & Pick<Authority, "ca">;

export interface SentinelSetOptions {
  /** The Sentinels listen with TLS, too, and demand no certificate of clients. */
  readonly sentinelTls?: SentinelTls;
}

export class SentinelSet implements RedisTopology {
  readonly servers: readonly RedisServer[];
  readonly sentinels: readonly Sentinel[];

  private constructor(servers: readonly RedisServer[], sentinels: readonly Sentinel[]) {
    this.servers = servers;
    this.sentinels = sentinels;
  }

  /** Starts all of them and waits until every Sentinel knows every other one and the replicas. */
  static async start(options: SentinelSetOptions = {}): Promise<SentinelSet> {
    const master = await RedisServer.start({ args: REPLICATION_ARGS });
    const replicas = await startServers(REPLICAS, () => []);
    // Not an argument: a replica that was promoted and restarted would follow its first master again.
    for (const { url } of replicas) await replicaOf(url, master);
    await untilReplicated({ master: () => Promise.resolve(master) }, REPLICAS);
    const sentinels = await Promise.all(
      Array.from({ length: SENTINELS }, () => Sentinel.start(master.port, options)),
    );
    const set = new SentinelSet([master, ...replicas], sentinels);
    await Promise.all(sentinels.map((sentinel) => sentinel.untilComplete()));
    return set;
  }

  get url(): string {
    const hosts = this.sentinels.map(({ port }) => `127.0.0.1:${port}`);
    return `redis+sentinel://${hosts.join(",")}/${MASTER_NAME}`;
  }

  /** The server that most Sentinels name. */
  async master(): Promise<RedisServer> {
    const named = await Promise.all(this.sentinels.map((one) => one.masterPort()));
    const master = this.servers.find(
      ({ port }) => named.filter((one) => one === port).length > SENTINELS / 2,
    );
    if (master === undefined) throw new Error(`no majority among ${named.join(", ")}`);
    return master;
  }

  async failover(): Promise<void> {
    const old = await this.master();
    const [first] = this.sentinels;
    await first?.ask("FAILOVER", MASTER_NAME);
    await untilReplaced(this, old);
  }

  /** Makes a server that came back a replica now, as the Sentinels do after a while. */
  async rejoin(server: RedisServer): Promise<void> {
    const { port } = await this.master();
    if (port !== server.port) await replicaOf(server.url, { port });
    await untilReplicated(this, REPLICAS);
  }

  async close(): Promise<void> {
    for (const server of this.servers) server.resume();
    await Promise.all([...this.sentinels, ...this.servers].map((one) => one.close()));
  }
}

const replicaOf = (url: string, { port }: Pick<RedisServer, "port">) =>
  redis(url, "REPLICAOF", "127.0.0.1", String(port));

const addressSchema = z.tuple([z.string(), z.coerce.number()]);
const pairsSchema = z.array(z.string());

function tlsLines(port: number, files: SentinelTls | undefined): readonly string[] {
  if (files === undefined) return [];
  const own = [`tls-cert-file ${files.cert}`, `tls-key-file ${files.key}`];
  return [`tls-port ${port}`, ...own, `tls-ca-cert-file ${files.ca}`, "tls-auth-clients no"];
}

export class Sentinel {
  readonly port: number;
  /** Where it listens with TLS, if it does. */
  readonly tlsPort: number;
  readonly process: StartedProcess;
  readonly #folder: string;

  private constructor(
    { port, tlsPort }: { readonly port: number; readonly tlsPort: number },
    process: StartedProcess,
    folder: string,
  ) {
    this.port = port;
    this.tlsPort = tlsPort;
    this.process = process;
    this.#folder = folder;
  }

  static async start(masterPort: number, options: SentinelSetOptions): Promise<Sentinel> {
    const folder = await mkdtemp(join(tmpdir(), "sekisho-sentinel-"));
    const [port, tlsPort] = [await takeFreePort(), await takeFreePort()];
    const file = join(folder, "sentinel.conf");
    const lines = [
      ...["bind 127.0.0.1", `port ${port}`, `dir ${folder}`],
      `sentinel monitor ${MASTER_NAME} 127.0.0.1 ${masterPort} 2`,
      `sentinel down-after-milliseconds ${MASTER_NAME} 1000`,
      `sentinel failover-timeout ${MASTER_NAME} 3000`,
      `sentinel parallel-syncs ${MASTER_NAME} ${REPLICAS}`,
      ...tlsLines(tlsPort, options.sentinelTls),
    ];
    await writeFile(file, `${lines.join("\n")}\n`);
    const name = `Sentinel on port ${port}`;
    const process = new StartedProcess({ name, file: "redis-server", args: [file, "--sentinel"] });
    const bounds = { what: "its first answer to PING", timeoutMs: TOPOLOGY_TIMEOUT_MS };
    await process.waitFor(async () => (await answersPing(port)) || undefined, bounds);
    return new Sentinel({ port, tlsPort }, process, folder);
  }

  async ask(...args: readonly string[]): Promise<unknown> {
    return redis(`redis://127.0.0.1:${this.port}`, "SENTINEL", ...args);
  }

  async masterPort(): Promise<number> {
    const reply = await this.ask("GET-MASTER-ADDR-BY-NAME", MASTER_NAME).catch(() => ["", 0]);
    return addressSchema.parse(reply)[1];
  }

  async untilComplete(): Promise<void> {
    const bounds = { what: "it knew all others", timeoutMs: TOPOLOGY_TIMEOUT_MS };
    const expected = { "num-slaves": REPLICAS, "num-other-sentinels": SENTINELS - 1 };
    await this.process.waitFor(async () => {
      const fields = pairsSchema.parse(await this.ask("MASTER", MASTER_NAME));
      const value = (name: string): number => Number(fields[fields.indexOf(name) + 1]);
      return Object.entries(expected).every(([name, count]) => value(name) === count) || undefined;
    }, bounds);
  }

  async close(): Promise<void> {
    await this.process.kill();
    await rm(this.#folder, { recursive: true, force: true });
  }
}
