/**
 * Rows that are not their node's: all nodes share one Redis user, which may write any of them. Everything
 * is forged on a connection of its own, as that user.
 */
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "@jest/globals";

import { RedisServer } from "../../dev/redis-server.js";
import { repositoryRoot } from "../../dev/repository.js";
import { systemClock } from "../../src/runtime/clock.js";
import { encodeNodeRow } from "../../src/revocation-log/node-row-redis.js";
import { RedisNodeRows } from "../../src/revocation-log/node-rows-redis.js";
import {
  ReceiptCollector,
  type EntryAddress,
  type Receipt,
} from "../../src/revocation-log/receipt.js";
import type { LogConnection, NodeRow } from "../../src/revocation-log/revocation-log.js";
import { revocationLogInRedis } from "../../src/revocation-log/revocation-log-redis.js";
import { endOf, follow, initLog, KEYS, publish, redis, UNTIL_MS } from "../support/following.js";
import { patientConnections } from "../support/patient-connections.js";

const [VICTIM, OTHER] = ["victim:0123456789ab:1", "other:0123456789ab:1"];
const LIMITS = { maxStalenessMs: 1000, onStale: "deny" } as const;

let server: RedisServer;
let asNode: string;
let asPublisher: string;
let asAdministrator: string;
let generation: string;
const closing: (() => unknown)[] = [];

beforeAll(async () => {
  const file = join(repositoryRoot(), "deploy/redis/users.acl");
  server = await RedisServer.start({ args: ["--aclfile", file] });
  const as = (user: string): string =>
    `redis://sekisho-${user}:set-a-password-for-${user}s@127.0.0.1:${server.port}`;
  [asNode, asPublisher] = [as("node"), as("publisher")];
  asAdministrator = `redis://admin:set-a-password-for-the-administrator@127.0.0.1:${server.port}`;
});
beforeEach(async () => {
  generation = randomUUID();
  await initLog(asPublisher, { replace: true, generation });
});
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});
afterAll(() => server.close());

const forge = (command: string, ...args: string[]) => redis(asNode, command, ...args);
/** What a node writes that has just applied `seq`. */
const row = (seq: number): NodeRow => ({ seenMs: Date.now(), generation, seq, ...LIMITS });
const forgeRow = (group: string, seq: number) =>
  forge("HSET", KEYS.nodes, group, encodeNodeRow(row(seq)));

/** A node that has joined the log at its first entry, and reads only when it is told to. */
async function joined(group: string): Promise<LogConnection> {
  const log = revocationLogInRedis(patientConnections(asNode), KEYS, systemClock);
  const connection = await log.connect();
  closing.push(() => connection.close());
  const lastId = (await connection.page(undefined, 10)).at(-1)?.id ?? "";
  await connection.join(group, lastId, row(1), []);
  return connection;
}
async function readAndApply(connection: LogConnection, group: string, seq: number): Promise<void> {
  const { entries } = await connection.read(group, 10, 0);
  const ids = entries.map(({ id }) => id);
  await connection.acknowledge(group, ids, row(seq), undefined);
}
async function published(): Promise<EntryAddress> {
  const outcome = await publish(asPublisher, endOf(randomUUID()));
  if (!outcome.published) throw new Error(outcome.message);
  return outcome;
}

/** Waits for receipts as a publisher; `looked` is told how many looks at the rows were done. */
function collector(
  looked: (looks: number) => Promise<unknown> = () => Promise.resolve(),
): ReceiptCollector {
  const rows = new RedisNodeRows(patientConnections(asPublisher), KEYS);
  closing.push(() => rows.close());
  let looks = 0;
  const nodeRows = async () => {
    const found = await rows.nodeRows();
    await looked((looks += 1));
    return found;
  };
  return new ReceiptCollector({ nodeRows }, systemClock);
}
const receipt = (entry: EntryAddress, waitMs: number): Promise<Receipt> =>
  collector().waitFor(entry, waitMs);

describe("the receipt", () => {
  it("does not count a row whose group was not given the entry, until the node has read it", async () => {
    const victim = await joined(VICTIM);
    const entry = await published();
    await forgeRow(VICTIM, entry.seq);
    const forged = await receipt(entry, 100);
    expect(forged.applied).toEqual([]);
    expect(forged.pending).toEqual([{ node: "victim", ...LIMITS, reason: "not_delivered" }]);
    await readAndApply(victim, VICTIM, entry.seq);
    const { applied, pending } = await receipt(entry, UNTIL_MS);
    expect([applied, pending]).toEqual([[expect.objectContaining({ node: "victim" })], []]);
  });

  it("does not count a row without a group, however long ago it says that its node was seen", async () => {
    const entry = await published();
    await forgeRow(OTHER, entry.seq);
    await forge("HSET", KEYS.nodes, VICTIM, encodeNodeRow({ ...row(entry.seq), seenMs: 0 }));
    const told = (node: string) => ({ node, ...LIMITS, reason: "not_delivered" });
    const { applied, pending, silent } = await receipt(entry, 100);
    expect(pending).toEqual(expect.arrayContaining([told("other"), told("victim")]));
    expect([applied, silent]).toEqual([[], []]);
  });

  it("counts a node again that makes a new group after its own was removed", async () => {
    const following = follow(asNode);
    closing.push(() => following.follower.close());
    await following.untilFresh();
    const { group = "" } = following.follower.status();
    await forge("XGROUP", "DESTROY", KEYS.log, group);
    const { applied, pending } = await receipt(await published(), UNTIL_MS);
    expect([applied, pending]).toEqual([[expect.objectContaining({ node: "node-1" })], []]);
    expect(following.follower.status().group).not.toBe(group);
  });

  it.each([
    ["removed", () => forge("HDEL", KEYS.nodes, VICTIM)],
    ["made unreadable", () => forge("HSET", KEYS.nodes, VICTIM, "{}")],
  ])("names a node whose row was %s, until it writes it again", async (_, change) => {
    const victim = await joined(VICTIM);
    const entry = await published();
    await change();
    const { applied, pending } = await receipt(entry, 100);
    expect([applied, pending]).toEqual([[], [{ node: "victim", reason: "row_missing" }]]);
    await readAndApply(victim, VICTIM, entry.seq);
    expect((await receipt(entry, UNTIL_MS)).applied).toMatchObject([{ node: "victim" }]);
  });

  it("takes back what a row said that falls while it waits, and does not believe it again", async () => {
    await joined(OTHER);
    const victim = await joined(VICTIM);
    const entry = await published();
    // Redis has delivered the entry, but the node has not applied it.
    await victim.read(VICTIM, 10, 0);
    await forgeRow(VICTIM, entry.seq);
    const watched = collector(async (looks) => {
      if (looks === 2) await victim.acknowledge(VICTIM, [], row(entry.seq - 1), undefined);
      if (looks === 4) await forgeRow(VICTIM, entry.seq);
    });
    const { applied, pending } = await watched.waitFor(entry, 1000);
    expect(applied).toEqual([]);
    expect(pending).toEqual(
      expect.arrayContaining([
        { node: "victim", ...LIMITS, reason: "row_conflict" },
        { node: "other", ...LIMITS },
      ]),
    );
    await victim.acknowledge(VICTIM, [entry.entryId ?? ""], row(entry.seq), undefined);
    expect((await watched.waitFor(entry, 100)).applied).toMatchObject([{ node: "victim" }]);
  });

  it("names a node whose row is made to look silent while it waits", async () => {
    await joined(OTHER);
    const victim = await joined(VICTIM);
    const entry = await published();
    const watched = collector(async (looks) => {
      const silent = { ...row(1), seenMs: Date.now() - 60_000 };
      if (looks === 2) await forge("HSET", KEYS.nodes, VICTIM, encodeNodeRow(silent));
    });
    const { pending, silent } = await watched.waitFor(entry, 1000);
    expect(pending).toContainEqual({ node: "victim", ...LIMITS, reason: "row_conflict" });
    expect(silent).toEqual([]);
    await readAndApply(victim, VICTIM, entry.seq);
    expect((await watched.waitFor(entry, 100)).applied).toMatchObject([{ node: "victim" }]);
  });
});

describe("a node", () => {
  it("reads the whole log again where another process has read an entry with its group", async () => {
    const following = follow(asNode);
    closing.push(() => following.follower.close());
    await following.untilFresh();
    const entry = await published();
    await following.until("the entry", () => following.follower.status().seq === entry.seq);
    const { group = "" } = following.follower.status();
    const connection = await patientConnections(asAdministrator)();
    closing.push(() => connection.close());
    const [last] = await connection.client.xrevrange(KEYS.log, "+", "-", "COUNT", 1);
    const fields = [...(last?.[1] ?? [])];
    fields[fields.indexOf("seq") + 1] = String(entry.seq + 1);
    fields[fields.indexOf("session") + 1] = "taken-away";
    // At once, so that the node's own read, which is blocked, finds nothing.
    const transaction = connection.client.multi();
    transaction.hincrby(KEYS.meta, "seq", 1);
    transaction.xadd(KEYS.log, "*", ...fields);
    transaction.xreadgroup("GROUP", group, "other", "STREAMS", KEYS.log, ">");
    await transaction.exec();
    await following.until("the entry that was read", () => following.knows("taken-away"));
    await following.until("a new group", () => following.follower.status().group !== group);
    expect(following.resyncs).toEqual(["start", "gap"]);
  });
});
