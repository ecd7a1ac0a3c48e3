import { afterAll, beforeAll, beforeEach, describe, expect, it } from "@jest/globals";
import { RedisServer } from "../../dev/redis-server.js";
import { waitFor } from "../../dev/wait-for.js";
import { systemClock, type Clock } from "../../src/runtime/clock.js";
import { redisConnections } from "../../src/revocation-log/connection-redis.js";
import type { Revocation } from "../../src/revocation-log/entry.js";
import { decodeEntry } from "../../src/revocation-log/entry-decoding.js";
import { RedisPublisher, type PublisherOptions } from "../../src/revocation-log/publisher-redis.js";
import type { PublishOutcome } from "../../src/revocation-log/publisher.js";
import type { LogConnection, LogMeta } from "../../src/revocation-log/revocation-log.js";
import { revocationLogInRedis } from "../../src/revocation-log/revocation-log-redis.js";
import { HORIZON_S, KEYS, endOf, initLog, redis } from "../support/following.js";
import { ManualClock } from "../support/manual-clock.js";
import { setLogFormat } from "../../src/revocation-log/log-format-redis.js";
import { LOG_FORMATS } from "../../src/revocation-log/packed-entry.js";
import { patientConnections } from "../support/patient-connections.js";
import { TcpProxy } from "../support/tcp-proxy.js";

let server: RedisServer;
let url: string;
let reader: LogConnection;

beforeAll(async () => {
  // Else it would wait five seconds for more replicas before it serves the first.
  server = await RedisServer.start({ args: ["--repl-diskless-sync-delay", "0"] });
  url = server.url;
  reader = await revocationLogInRedis(patientConnections(url), KEYS, systemClock).connect();
});
beforeEach(async () => {
  await redis(url, "FLUSHALL");
});
afterAll(async () => {
  reader.close();
  await server.close();
});

async function withPublisher<T>(
  change: Partial<PublisherOptions>,
  use: (publish: (revocation: Revocation) => Promise<PublishOutcome>) => Promise<T>,
): Promise<T> {
  const open = patientConnections(url);
  const clock = change.clock ?? systemClock;
  const base = {
    open,
    keys: KEYS,
    clock,
    authority: "redis",
    minReplicas: 0,
    clockSkewS: 5,
  } as const;
  const publisher = new RedisPublisher({ ...base, ...change });
  const rest = { eventId: "event-1", reason: "stolen", actor: "ops" };
  try {
    return await use((revocation) =>
      publisher.publish({ revocation, atMs: clock.wallMs(), ...rest }),
    );
  } finally {
    publisher.close();
  }
}
const publishOne = (revocation: Revocation, change: Partial<PublisherOptions> = {}) =>
  withPublisher(change, (publish) => publish(revocation));
const codeOf = (outcome: PublishOutcome) => (outcome.published ? "published" : outcome.code);

async function meta(): Promise<LogMeta> {
  const { meta: found } = await reader.facts();
  if (typeof found === "string") throw new Error(`meta is ${found}`);
  return found;
}
const entries = async () => (await reader.page(undefined, 1000)).map(decodeEntry);

describe("publishing", () => {
  it("writes an entry that every node can read, with the log's own horizon", async () => {
    await initLog(url);
    const before = Date.now();
    const outcome = await publishOne(endOf("s-1"));
    expect(outcome).toMatchObject({ published: true, seq: 2 });
    const [, entry] = await entries();
    if (entry?.kind !== "revocation") throw new Error("no revocation");
    expect(entry.revocation).toEqual(endOf("s-1"));
    expect(entry.atMs).toBeGreaterThanOrEqual(before);
    expect(entry.forgetAtMs).toBeGreaterThanOrEqual(before + HORIZON_S * 1000);
    expect(entry.forgetAtMs).toBeLessThan(Date.now() + HORIZON_S * 1000 + 100);
    expect(await meta()).toMatchObject({ seq: 2, firstSeq: 1 });
  });

  it("keeps seq dense when many publish at once", async () => {
    await initLog(url);
    const outcomes = await Promise.all(
      Array.from({ length: 60 }, (_, i) => publishOne(endOf(`s-${i}`))),
    );
    const seqs = outcomes.map((outcome) => (outcome.published ? outcome.seq : 0));
    expect(seqs.sort((a, b) => a - b)).toEqual(Array.from({ length: 60 }, (_, i) => i + 2));
    expect((await entries()).map(({ seq }) => seq)).toEqual(
      Array.from({ length: 61 }, (_, i) => i + 1),
    );
  });

  it.each(["a:b", "100%", "two words", "日本語", "🗝", "x".repeat(256), "é", "e\u0301"])(
    "carries the id %j byte for byte",
    async (id) => {
      await initLog(url);
      await publishOne(endOf(id, id));
      const [, entry] = await entries();
      expect(entry).toMatchObject({ revocation: { tenant: id, session: id } });
    },
  );

  it("appends also when nothing rises", async () => {
    await initLog(url);
    const raise: Revocation = {
      kind: "user_revoked",
      tenant: "acme",
      user: "ann",
      epoch: 3,
      issuedBefore: undefined,
    };
    expect(await publishOne(raise)).toMatchObject({ seq: 2 });
    expect(await publishOne(raise)).toMatchObject({ seq: 3 });
  });

  it.each(LOG_FORMATS)(
    "writes in format %i where the log says so, which every node can read",
    async (format) => {
      await initLog(url);
      expect(await setLogFormat(patientConnections(url), KEYS, format)).toMatchObject({
        kind: "set",
      });
      const issuer = "https://issuer.example";
      const revocations: readonly Revocation[] = [
        endOf('s "1"\u2028', "a\\b"),
        { kind: "user_revoked", tenant: "acme", user: "ann", epoch: 3, issuedBefore: undefined },
        { kind: "token_revoked", tenant: "acme", issuer, jti: "j", signedDigest: undefined },
        { kind: "client_revoked", tenant: undefined, client: "shop", issuedBefore: 7 },
        { kind: "key_revoked", issuer, thumbprint: "k".repeat(43) },
        { kind: "tenant_revoked", tenant: "acme", issuedBefore: 7 },
        { kind: "all_revoked", issuedBefore: 7 },
      ];
      for (const revocation of revocations) {
        expect(codeOf(await publishOne(revocation))).toBe("published");
      }
      const [, ...written] = await entries();
      expect(written).toMatchObject(
        revocations.map((revocation, i) => ({ kind: "revocation", seq: i + 2, revocation })),
      );
      const raw = await reader.page(undefined, 2);
      expect(Object.keys(raw[1]?.fields ?? {}).includes("v2")).toBe(format === 2);
    },
  );

  it.each(LOG_FORMATS)("trims what the horizon has passed, in format %i", async (format) => {
    await initLog(url);
    await setLogFormat(patientConnections(url), KEYS, format);
    await redis(url, "HSET", KEYS.meta, "horizon_s", "0");
    await withPublisher({}, async (publish) => {
      for (let i = 0; i < 350; i += 1) await publish(endOf(`s-${i}`));
    });
    const left = await entries();
    expect(left.length).toBeLessThan(350);
    expect(left.at(-1)?.seq).toBe(351);
    expect((await meta()).firstSeq).toBe(left[0]?.seq);
  });

  it("trims nothing that is within the horizon", async () => {
    await initLog(url);
    await withPublisher({}, async (publish) => {
      for (let i = 0; i < 350; i += 1) await publish(endOf(`s-${i}`));
    });
    expect(await entries()).toHaveLength(351);
  });
});

describe("a publication that is refused", () => {
  it("needs a log, and does not open one", async () => {
    expect(codeOf(await publishOne(endOf("s")))).toBe("log_missing");
    expect(await redis(url, "DBSIZE")).toBe(0);
  });

  it("needs the stream too: facts without it are a loss", async () => {
    await initLog(url);
    await redis(url, "DEL", KEYS.log);
    expect(codeOf(await publishOne(endOf("s")))).toBe("log_missing");
    expect(await redis(url, "EXISTS", KEYS.log)).toBe(0);
  });

  it("waits for a restore to end", async () => {
    await initLog(url);
    await redis(url, "HSET", KEYS.meta, "restoring", "marker");
    expect(codeOf(await publishOne(endOf("s")))).toBe("log_restoring");
  });

  it("keeps out of a log with another authority or other partitions", async () => {
    await initLog(url, { authority: "database" });
    const outcome = await publishOne(endOf("s"));
    expect(codeOf(outcome)).toBe("wrong_authority");
    expect(outcome).toMatchObject({ message: expect.stringContaining("database") });
    await redis(url, "HSET", KEYS.meta, "authority", "redis", "partitions", "4");
    expect(codeOf(await publishOne(endOf("s")))).toBe("partitions_differ");
  });

  it.each([-1, 1])("needs clocks that agree to half a minute (%d)", async (sign) => {
    await initLog(url);
    /** By a clock that is off by so much, give or take half a second, when Redis looks at its own. */
    const publishOff = (ms: number) =>
      waitFor(
        async () => {
          let readAtMs = Infinity;
          const clock: Clock = {
            wallMs: () => (readAtMs = Date.now()) + sign * ms,
            monotonicMs: () => performance.now(),
          };
          const { seq } = await meta();
          const outcome = await publishOne(endOf("s"), { clock });
          const heldUp = Date.now() - readAtMs >= 500;
          return heldUp ? undefined : { outcome, entries: (await meta()).seq - seq };
        },
        { what: "an attempt that nothing held up", timeoutMs: 30_000 },
      );
    expect(await publishOff(29_000)).toMatchObject({ outcome: { published: true }, entries: 1 });
    const message = expect.stringMatching(
      sign > 0 ? /Redis is 3[01]\d{3} ms behind/ : /Redis is 3[01]\d{3} ms ahead of/,
    );
    const refused = { published: false, code: "clock_difference", message };
    expect(await publishOff(31_000)).toEqual({ outcome: refused, entries: 0 });
  });

  it("refuses a cut-off that the log would forget too early", async () => {
    await initLog(url);
    // Stopped at a whole second, so that the test takes no time.
    const clock = new ManualClock(Math.floor(Date.now() / 1000) * 1000);
    const cutOff = (aheadS: number): Revocation => ({
      kind: "user_revoked",
      tenant: "acme",
      user: "ann",
      epoch: undefined,
      issuedBefore: clock.wallMs() / 1000 + aheadS,
    });
    expect(codeOf(await publishOne(cutOff(7), { clock }))).toBe("published");
    expect(codeOf(await publishOne(cutOff(8), { clock }))).toBe("cutoff_too_late");
  });

  it.each<[string, { user?: string; issuedBefore?: number | undefined }, string]>([
    ["a cut-off in the year 226", { issuedBefore: -55_035_504_000 }, "issued_before"],
    ["a cut-off that is no whole number", { issuedBefore: 1.5 }, "issued_before"],
    ["a user with a control character", { user: "a\u0007" }, "user"],
    ["neither epoch nor cut-off", { issuedBefore: undefined }, "epoch"],
  ])("names the field that no node could read: %s", async (_what, change, field) => {
    await initLog(url);
    const good = { kind: "user_revoked", tenant: "acme", user: "ann", epoch: undefined } as const;
    const outcome = await publishOne({ ...good, issuedBefore: 1, ...change });
    expect(outcome).toMatchObject({
      code: "entry_unreadable",
      message: expect.stringContaining(`\`${field}\``),
    });
    expect(await entries()).toHaveLength(1);
  });

  it("leaves room for the epoch to rise, but not the database's own", async () => {
    const raise = (epoch: number): Revocation => ({
      kind: "user_revoked",
      tenant: "acme",
      user: "ann",
      epoch,
      issuedBefore: undefined,
    });
    await initLog(url);
    expect(codeOf(await publishOne(raise(2 ** 52)))).toBe("published");
    expect(codeOf(await publishOne(raise(2 ** 52 + 1)))).toBe("out_of_range");
    expect(codeOf(await publishOne(raise(2 ** 52 + 1), { breakGlass: true }))).toBe("out_of_range");
    expect(await entries()).toHaveLength(2);
  });

  it("is told apart from one that too few replicas have", async () => {
    await initLog(url);
    const outcome = await publishOne(endOf("s"), { minReplicas: 1 });
    expect(codeOf(outcome)).toBe("too_few_replicas");
    const replica = await RedisServer.start({
      args: ["--replicaof", "127.0.0.1", `${server.port}`],
    });
    try {
      await waitFor(
        async () => {
          const again = await publishOne(endOf("s"), { minReplicas: 1 });
          return again.published ? true : undefined;
        },
        { what: "the replica", timeoutMs: 60_000 },
      );
      expect(codeOf(await publishOne(endOf("s"), { minReplicas: 2 }))).toBe("too_few_replicas");
    } finally {
      await replica.close();
    }
  });

  it("does not wait one after the other while a replica is missing", async () => {
    await initLog(url);
    await withPublisher({ minReplicas: 1, open: redisConnections({ url }) }, async (publish) => {
      const many = (prefix: string) =>
        Promise.all(
          Array.from({ length: 32 }, async (_, i) =>
            codeOf(await publish(endOf(`${prefix}-${i}`))),
          ),
        );
      const fromMs = performance.now();
      const first = many("first");
      // These come while the first ones are waited for.
      await waitFor(async () => (await meta()).seq >= 33 || undefined, {
        what: "the first to be written",
        timeoutMs: 30_000,
      });
      const codes = (await Promise.all([first, many("then")])).flat();
      const tookMs = Math.round(performance.now() - fromMs);
      process.stdout.write(`64 publications with a replica missing: ${tookMs} ms\n`);
      expect(new Set(codes)).toEqual(new Set(["too_few_replicas"]));
      // Three waits of a second, and what a busy machine adds; 32 one after the other take more.
      expect(tookMs).toBeLessThan(10_000);
    });
  });

  it("says so within its bounds when Redis cannot be reached or does not answer", async () => {
    await initLog(url);
    const proxy = await TcpProxy.start(server.port);
    try {
      await withPublisher({ open: redisConnections({ url: proxy.url }) }, async (publish) => {
        expect(codeOf(await publish(endOf("s-1")))).toBe("published");
        proxy.swallowReplies();
        expect(await publish(endOf("s-2"))).toMatchObject({
          code: "unreachable",
          message: expect.stringContaining("no answer to EVAL within 2000 ms"),
        });
        proxy.cutOff();
        expect(codeOf(await publish(endOf("s-3")))).toBe("unreachable");
        proxy.mend();
        expect(codeOf(await publish(endOf("s-4")))).toBe("published");
      });
    } finally {
      await proxy.close();
    }
    const sessions = (await entries()).flatMap((entry) =>
      entry.kind === "revocation" && entry.revocation.kind === "session_revoked"
        ? [entry.revocation.session]
        : [],
    );
    // The second one was written although nobody was told: in the log, but never acknowledged.
    expect(sessions).toEqual(["s-1", "s-2", "s-4"]);
  });

  it("tells a reply of an unknown form as such, like the opening of a log", async () => {
    await initLog(url);
    const proxy = await TcpProxy.start(server.port);
    proxy.rewrite = (data) =>
      Buffer.from(
        data.toString("latin1").replace(/published|exists/, (word) => word.toUpperCase()),
        "latin1",
      );
    const unknown = "EVAL: the reply has an unknown form";
    try {
      await withPublisher({ open: redisConnections({ url: proxy.url }) }, async (publish) => {
        const refused = { published: false, code: "unreachable", message: unknown };
        expect(await publish(endOf("s-1"))).toEqual(refused);
      });
      await expect(initLog(proxy.url)).rejects.toMatchObject({
        code: "unexpected",
        message: unknown,
      });
    } finally {
      await proxy.close();
    }
  });
});
