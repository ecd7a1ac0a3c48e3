import { afterAll, describe, expect, it } from "@jest/globals";
import {
  Argon2PasswordHasher,
  DEFAULT_HASHING_COST,
  DEFAULT_HASHING_LIMITS,
} from "../../src/sessions/passwords/password-hasher-argon2.js";

/** As cheap as argon2 may be, where the cost does not matter. */
const CHEAP = { memoryKiB: 64, passes: 1, lanes: 1 };

const usual = new Argon2PasswordHasher();
const cheap = new Argon2PasswordHasher({ cost: CHEAP });
afterAll(async () => {
  await Promise.all([usual.close(), cheap.close()]);
});

/**
 * The least processor time that each of them took, all in turns: what other programs take away, or a
 * pause of this one, is in none of the figures.
 */
async function leastCpuMs(
  times: number,
  ...works: readonly (() => Promise<unknown>)[]
): Promise<readonly number[]> {
  const least = works.map(() => Infinity);
  for (let time = 0; time < times; time += 1) {
    for (const [index, work] of works.entries()) {
      const before = process.cpuUsage();
      await work();
      const { user, system } = process.cpuUsage(before);
      least[index] = Math.min(least[index] ?? Infinity, (user + system) / 1000);
    }
  }
  return least;
}

describe("hashing a password", () => {
  it("yields argon2id with the cost that OWASP recommends, and another salt each time", async () => {
    const [one, other] = await Promise.all([
      usual.hash("secret words"),
      usual.hash("secret words"),
    ]);
    expect(one).toMatch(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$[\w+/]{22}\$[\w+/]{43}$/);
    expect(other).not.toBe(one);
    expect(await usual.verify(one, "secret words")).toBe(true);
    expect(await usual.verify(other, "secret words")).toBe(true);
    expect(await usual.verify(one, "secret word")).toBe(false);
    expect(await usual.verify(one, "Secret words")).toBe(false);
  });

  it("takes a password however it was typed, and all of it", async () => {
    const stored = await cheap.hash(`caf\u00e9 ${"x".repeat(200)}y`);
    expect(await cheap.verify(stored, `cafe\u0301 ${"x".repeat(200)}y`)).toBe(true);
    expect(await cheap.verify(stored, `caf\u00e9 ${"x".repeat(200)}z`)).toBe(false);
    expect(await cheap.verify(stored, `cafe ${"x".repeat(200)}y`)).toBe(false);
  });

  it("refuses a text that nobody could log in with", async () => {
    await expect(cheap.hash("broken \ud800")).rejects.toThrow(RangeError);
    await expect(cheap.hash("x".repeat(1025))).rejects.toThrow(RangeError);
  });
});

describe("verifying a password", () => {
  it("answers false, not an error, to what can be nobody's password", async () => {
    const stored = await cheap.hash("broken \ufffd");
    expect(await cheap.verify(stored, "broken \ud800")).toBe(false);
    expect(await cheap.verify(stored, "x".repeat(60_000))).toBe(false);
    expect(await cheap.verify(stored, "broken \ufffd")).toBe(true);
  });

  it("works with hashes of another cost or variant, and tells that they should be renewed", async () => {
    const stored = await cheap.hash("secret words");
    expect(await usual.verify(stored, "secret words")).toBe(true);
    expect(cheap.needsRehash(stored)).toBe(false);
    expect(usual.needsRehash(stored)).toBe(true);
    for (const change of [{ memoryKiB: 65 }, { passes: 2 }, { lanes: 2 }]) {
      const changed = new Argon2PasswordHasher({ cost: { ...CHEAP, ...change } });
      expect(changed.needsRehash(stored)).toBe(true);
    }
    const zeros = (bytes: number) => Buffer.alloc(bytes).toString("base64").replace(/=+$/, "");
    const madeOf = (saltBytes: number, hashBytes: number) =>
      `$argon2id$v=19$m=64,t=1,p=1$${zeros(saltBytes)}$${zeros(hashBytes)}`;
    expect(cheap.needsRehash(madeOf(16, 32))).toBe(false);
    expect(cheap.needsRehash(madeOf(8, 32))).toBe(true);
    expect(cheap.needsRehash(madeOf(16, 16))).toBe(true);
    expect(cheap.needsRehash(stored.replace("argon2id", "argon2i"))).toBe(true);
    expect(cheap.needsRehash(stored.replace("v=19", "v=16"))).toBe(true);
  });

  it("is a failure where what is stored is no hash, or wants to be too expensive", async () => {
    const unreadable = { code: "hash_unreadable" };
    const stored = await cheap.hash("secret words");
    await expect(cheap.verify("plain text", "plain text")).rejects.toMatchObject(unreadable);
    await expect(cheap.verify("", "")).rejects.toMatchObject(unreadable);
    const costly = stored.replace("m=64", "m=4194304");
    await expect(cheap.verify(costly, "secret words")).rejects.toMatchObject(unreadable);
    // A shortened hash may still be one: another one, then, which no password fits.
    const told = await cheap.verify(stored.slice(0, -9), "secret words").catch(String);
    expect(told).not.toBe(true);
    expect(String(told)).not.toContain(stored.slice(-20, -9));
  });

  it("of an unknown user is false for every password, and takes as long as a wrong one", async () => {
    const stored = await usual.hash("secret words");
    expect(await usual.verify(undefined, "secret words")).toBe(false);
    expect(await usual.verify(undefined, "")).toBe(false);
    const [wrong = NaN, unknown = NaN, impossible = NaN] = await leastCpuMs(
      15,
      () => usual.verify(stored, "wrong words"),
      () => usual.verify(undefined, "wrong words"),
      () => usual.verify(stored, "\ud800"),
    );
    for (const other of [unknown, impossible]) {
      expect(other / wrong).toBeGreaterThan(0.5);
      expect(other / wrong).toBeLessThan(2);
    }
  });

  it("takes as much more time as the cost says, an unknown user included", async () => {
    const costly = new Argon2PasswordHasher({ cost: { ...DEFAULT_HASHING_COST, passes: 12 } });
    const [usualMs = NaN, costlyMs = NaN] = await leastCpuMs(
      7,
      () => usual.verify(undefined, "wrong words"),
      () => costly.verify(undefined, "wrong words"),
    );
    expect(costlyMs / usualMs).toBeGreaterThan(2);
    await costly.close();
  });
});

describe("many passwords at once", () => {
  it("are hashed two at a time, and the event loop goes on meanwhile", async () => {
    const costly = new Argon2PasswordHasher({
      cost: { ...DEFAULT_HASHING_COST, passes: 12 },
      // On a busy machine the last of them waits for long.
      limits: { ...DEFAULT_HASHING_LIMITS, waitMaxMs: 60_000 },
    });
    const all = Array.from({ length: 8 }, () => costly.hash("secret words"));
    expect([costly.pending, costly.queued]).toEqual([8, 6]);
    let turns = 0;
    const count = setInterval(() => (turns += 1), 1);
    await Promise.all(all);
    clearInterval(count);
    // In the event loop each would hold it to its end: a turn or two for each of them, and no more.
    expect(turns).toBeGreaterThan(40);
    expect([costly.pending, costly.queued]).toEqual([0, 0]);
    await costly.close();
  });

  it("beyond what may wait are refused, and the others are answered", async () => {
    const limits = { ...DEFAULT_HASHING_LIMITS, queueMax: 3 };
    const hasher = new Argon2PasswordHasher({ cost: CHEAP, limits });
    const all = await Promise.allSettled(
      Array.from({ length: 9 }, () => hasher.verify(undefined, "wrong words")),
    );
    expect(all.map(({ status }) => status)).toEqual([
      ...Array.from({ length: 5 }, () => "fulfilled"),
      ...Array.from({ length: 4 }, () => "rejected"),
    ]);
    const refused = all.find(({ status }) => status === "rejected");
    expect(refused).toMatchObject({ reason: { code: "queue_full" } });
    await hasher.close();
    await expect(hasher.verify(undefined, "x")).rejects.toMatchObject({ code: "closed" });
  });
});

it.each([
  { memoryKiB: 7, passes: 1, lanes: 1 },
  { memoryKiB: 64, passes: 0, lanes: 1 },
  { memoryKiB: 64, passes: 1, lanes: 0 },
  { memoryKiB: 64.5, passes: 1, lanes: 1 },
  { memoryKiB: 2 ** 21, passes: 1, lanes: 1 },
])("a hasher cannot be made with the cost %j", (cost) => {
  expect(() => new Argon2PasswordHasher({ cost })).toThrow(RangeError);
});
