/** The log and the limits through Sentinels and in a Redis Cluster, as users with few rights. */
import { readFile, mkdtemp, rm } from "node:fs/promises";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { takeFreePort } from "../../dev/free-port.js";
import { repositoryRoot } from "../../dev/repository.js";
import { startSekisho } from "../../dev/sekisho-program.js";
import { waitUntil } from "../../dev/wait-for.js";
import {
  redisConnections,
  type RedisConnection,
} from "../../src/revocation-log/connection-redis.js";
import type { RedisSettings } from "../../src/runtime/config/redis-settings.js";
import { RedisLoginLimits } from "../../src/sessions/limits/login-limits-redis.js";
import { DEFAULT_LIMITS } from "../../src/sessions/limits/login-limits.js";
import { makeAuthority, makeCertificate, type Authority } from "../support/certificates.js";
import { ClusterSet } from "../support/cluster-set.js";
import { UNTIL_MS, endOf, follow, initLog, publish, redis } from "../support/following.js";
import { untilReplaced, type RedisTopology } from "../support/redis-topology.js";
import { MASTER_NAME, SentinelSet } from "../support/sentinel-set.js";

const SENTINEL_USER = { user: "sekisho", password: "of the Sentinels" };
const SENTINEL_RIGHTS = ["resetchannels", "&+switch-master", "-@all"];
const SENTINEL_COMMANDS = ["+sentinel|get-master-addr-by-name", "+subscribe"];

let folder: string;
let authority: Authority;
let sentinels: SentinelSet;
let cluster: ClusterSet;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "sekisho-topologies-"));
  authority = await makeAuthority(folder, "authority");
  const made = await makeCertificate(folder, "sentinel", authority);
  const sentinelTls = { ...made, ca: authority.ca };
  [sentinels, cluster] = await Promise.all([
    SentinelSet.start({ sentinelTls }),
    ClusterSet.start(),
  ]);
  const { user, password } = SENTINEL_USER;
  for (const { port } of sentinels.sentinels) {
    const rights = [...SENTINEL_RIGHTS, ...SENTINEL_COMMANDS];
    await redis(
      `redis://127.0.0.1:${port}`,
      "ACL",
      "SETUSER",
      user,
      "on",
      `>${password}`,
      ...rights,
    );
  }
  const users = await shippedUsers();
  for (const { url } of [...sentinels.servers, ...cluster.servers]) {
    for (const words of users) await redis(url, "ACL", "SETUSER", ...words);
  }
}, 60_000);
afterAll(async () => {
  await Promise.all([sentinels.close(), cluster.close()]);
  await rm(folder, { recursive: true, force: true });
});

/** The users of deploy/redis/users.acl with few rights, as words of ACL SETUSER. */
async function shippedUsers(): Promise<readonly (readonly string[])[]> {
  const text = await readFile(join(repositoryRoot(), "deploy", "redis", "users.acl"), "utf8");
  return text.split("\n").flatMap((line) => {
    const [, name, rules] = /^user (sekisho-\S+) (.*)$/.exec(line) ?? [];
    if (name === undefined || rules === undefined) return [];
    // A selector in brackets is one word.
    return [[name, ...(rules.match(/\([^)]*\)|\S+/g) ?? [])]];
  });
}

const as = (url: string, name: string): string =>
  url.replace("://", `://sekisho-${name}:set-a-password-for-${name}s@`);

const topologies: readonly (readonly [string, () => RedisTopology])[] = [
  ["Sentinels", () => sentinels],
  ["a Cluster", () => cluster],
];

describe.each(topologies)("through %s", (_name, topology) => {
  it("the shipped users publish, follow and count, before and after a failover", async () => {
    const { url } = topology();
    const publisher = as(url, "publisher");
    await initLog(publisher, { minReplicas: 1 });
    const node = follow(as(url, "node"));
    const reasons: string[] = [];
    const limits = new RedisLoginLimits({
      redis: { url: publisher },
      settings: { ...DEFAULT_LIMITS, user_act: { max: 1, windowS: 600 } },
      onFallback: (reason) => reasons.push(reason),
      onRecovered: () => reasons.push("recovered"),
    });
    const countsInRedis = { what: "counting in Redis", timeoutMs: UNTIL_MS };
    const ann = { tenant: "acme", user: "ann" };
    try {
      await node.untilFresh();
      expect(await publish(publisher, endOf("early"))).toMatchObject({ published: true });
      await node.until("the early one", ({ knows }) => knows("early"));
      await waitUntil(() => limits.countsIn === "redis", countsInRedis);
      expect(await limits.admitAct("user_act", ann)).toMatchObject({ admitted: true });
      expect(await limits.admitAct("user_act", ann)).toMatchObject({ admitted: false });
      expect(reasons).toEqual([]);

      await topology().failover();
      const late = async () => (await publish(publisher, endOf("late"))).published;
      await waitUntil(late, { what: "a publication", timeoutMs: UNTIL_MS });
      await node.until("the late one", ({ knows }) => knows("late"));
      await node.untilFresh();
      // What Redis counted before the failover is on the new master; the process began at nothing.
      await waitUntil(async () => {
        const { admitted } = await limits.admitAct("user_act", ann);
        return !admitted && limits.countsIn === "redis";
      }, countsInRedis);
    } finally {
      limits.close();
      await node.follower.close();
    }
  }, 60_000);
});

describe("a connection through Sentinels", () => {
  const opened: RedisConnection[] = [];
  const open = async (settings: RedisSettings): Promise<RedisConnection> => {
    const connection = await redisConnections(settings)();
    opened.push(connection);
    return connection;
  };
  afterAll(() => opened.forEach((connection) => connection.close()));

  const byTls = (): string =>
    `redis+sentinel://${sentinels.sentinels.map((one) => `127.0.0.1:${one.tlsPort}`).join(",")}/${MASTER_NAME}`;
  const tlsFiles = () => ({ ca: authority.ca, cert: undefined, key: undefined });
  const portOf = ({ address }: RedisConnection): number => Number(address.split(":").at(-1));

  it("ends when they announce another master, though the old one closed nothing", async () => {
    const kept = await open({ url: sentinels.url });
    const old = await sentinels.master();
    expect(portOf(kept)).toBe(old.port);
    old.pause();
    try {
      const master = await untilReplaced(sentinels, old);
      const ended = () => kept.client.status === "end";
      await waitUntil(ended, { what: "the end of the connection", timeoutMs: UNTIL_MS });
      expect(portOf(await open({ url: sentinels.url }))).toBe(master.port);
    } finally {
      old.resume();
      await sentinels.rejoin(old);
    }
  }, 60_000);

  it("uses credentials and TLS of the Sentinels' own beside those of Redis", async () => {
    const url = as(byTls(), "node");
    const sentinel = { ...SENTINEL_USER, tls: true };
    const connection = await open({ url, sentinel, tlsFiles: tlsFiles() });
    const asking = connection.client.ping();
    expect(await connection.within(1000, "PING", asking)).toBe("PONG");
    expect(portOf(connection)).toBe((await sentinels.master()).port);
  });

  it.each([
    [
      "a wrong password",
      { ...SENTINEL_USER, password: "of Redis" },
      "set SEKISHO_REDIS_SENTINEL_PASSWORD_FILE",
    ],
    ["a user without rights", { user: "poor", password: "p" }, "+sentinel|get-master-addr-by-name"],
  ])("says what to do about %s at the Sentinels", async (_what, credentials, advice) => {
    for (const { port } of sentinels.sentinels) {
      await redis(`redis://127.0.0.1:${port}`, "ACL", "SETUSER", "poor", "on", ">p", "-@all");
    }
    const settings = { url: sentinels.url, sentinel: { ...credentials, tls: false } };
    await expect(open(settings)).rejects.toThrow(advice);
  });

  it("says that they do not know the master, or are not there", async () => {
    const url = sentinels.url.replace(MASTER_NAME, "other");
    await expect(open({ url })).rejects.toThrow('the master "other": it knows no such master');
    const nobody = `redis+sentinel://127.0.0.1:${await takeFreePort()}/mymaster`;
    await expect(open({ url: nobody })).rejects.toThrow("are the Sentinels up");
  });

  it.each([
    ["answers nothing", () => undefined],
    ["hangs up", (socket: Socket) => socket.destroy()],
  ])("fails in time where the only Sentinel %s", async (_what, onConnection) => {
    const sockets: Socket[] = [];
    const silent = createServer((socket) => {
      sockets.push(socket.on("error", () => undefined));
      onConnection(socket);
    });
    const port = await takeFreePort();
    await new Promise<void>((resolve) => silent.listen(port, "127.0.0.1", resolve));
    try {
      const url = `redis+sentinel://127.0.0.1:${port}/${MASTER_NAME}`;
      for (const sentinel of [undefined, { ...SENTINEL_USER, tls: false }]) {
        const settings = sentinel === undefined ? { url } : { url, sentinel };
        await expect(open(settings)).rejects.toThrow(`the master "${MASTER_NAME}"`);
      }
    } finally {
      for (const socket of sockets) socket.destroy();
      silent.close();
    }
  });

  it("does without a Sentinel that is away, and the program's output says nothing of it", async () => {
    const away = `127.0.0.1:${await takeFreePort()}`;
    const url = sentinels.url.replace("://", `://${away},`);
    expect(portOf(await open({ url }))).toBe((await sentinels.master()).port);
    const args = ["nodes", "--json"];
    const started = startSekisho("sekisho nodes", args, { SEKISHO_REDIS_URL: url });
    expect(await started.exited).toMatchObject({ code: 0 });
    // A row of a node before the failovers may still be there.
    expect(JSON.parse(started.lines.join("\n"))).toHaveProperty("nodes");
  });
});
