import { beforeEach, describe, expect, test } from "@jest/globals";
import {
  FILE_REFRESH_MS,
  IssuerKeys,
  type IssuerKeysOptions,
  JITTER_SHARE,
  RETRY_LAST_MS,
  UNKNOWN_KID_REFRESH_MIN_MS,
  URL_REFRESH_MS,
} from "../../../src/tokens/issuer-keys.js";
import { DEFAULT_CLAIM_NAMES, type Issuer, type KeyLocation } from "../../../src/tokens/issuer.js";
import { TokenIssuer } from "../../support/token-issuer.js";

const MAX_AGE_MS = 3_600_000;
const one = new TokenIssuer({ kid: "one" });
const two = new TokenIssuer({ kid: "two" });

/** A load that the test ends when it wants to. */
interface PendingLoad {
  readonly signal: AbortSignal;
  succeed(json: unknown): void;
  fail(message: string): void;
}

/** Keys whose clock, timers and loads are in the test's hands. */
class Rig {
  readonly loads: PendingLoad[] = [];
  readonly timers: { readonly delayMs: number; readonly run: () => void }[] = [];
  readonly outcomes: string[] = [];
  wallMs = 1_700_000_000_000;
  monotonicMs = 5000;
  random = 0;
  readonly keys: IssuerKeys;

  constructor(options: Partial<IssuerKeysOptions> & { location?: KeyLocation } = {}) {
    const { location = { kind: "url", url: "https://issuer.example/jwks" }, ...others } = options;
    const issuer: Issuer = {
      issuer: "https://issuer.example",
      audience: "https://api.example",
      keyLocation: location,
      algorithms: ["ES256"],
      typ: "at+jwt",
      tenants: undefined,
      claims: DEFAULT_CLAIM_NAMES,
    };
    this.keys = new IssuerKeys(issuer, {
      clock: { wallMs: () => this.wallMs, monotonicMs: () => this.monotonicMs },
      maxAgeMs: MAX_AGE_MS,
      onRefresh: (result, detail) => {
        this.outcomes.push(detail === undefined ? result : `${result}: ${detail}`);
      },
      load: (_, signal) =>
        new Promise((resolve, reject) => {
          const fail = (message: string) => reject(new Error(message));
          this.loads.push({ signal, succeed: resolve, fail });
        }),
      schedule: (run, delayMs) => {
        const timer = { run, delayMs };
        this.timers.push(timer);
        return () => {
          const at = this.timers.indexOf(timer);
          if (at >= 0) this.timers.splice(at, 1);
        };
      },
      random: () => this.random,
      ...others,
    });
  }

  advance(ms: number): void {
    this.wallMs += ms;
    this.monotonicMs += ms;
  }

  load(number: number): PendingLoad {
    const load = this.loads[number];
    if (load === undefined) throw new Error(`load ${number} has not begun`);
    return load;
  }

  /** Lets the only timer fire, after the time that it was set to. */
  fire(): number {
    const [timer, ...others] = this.timers.splice(0);
    if (timer === undefined || others.length > 0) throw new Error("not exactly one timer");
    this.advance(timer.delayMs);
    timer.run();
    return timer.delayMs;
  }

  /** Resolves when this many outcomes were told and what follows from the last one is done. */
  async told(count: number): Promise<void> {
    await until(() => this.outcomes.length >= count);
    expect(this.outcomes).toHaveLength(count);
  }

  async startWith(json: unknown): Promise<void> {
    const started = this.keys.start();
    this.load(0).succeed(json);
    await started;
  }
}

/** Gives way to imports and promises until the condition holds. */
async function until(condition: () => boolean): Promise<void> {
  for (let turns = 0; !condition(); turns += 1) {
    if (turns === 10_000) throw new Error("the condition never held");
    await turn();
  }
  await turn();
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

let rig: Rig;
beforeEach(() => {
  rig = new Rig();
});

describe("the first load", () => {
  test("puts the set in use", async () => {
    expect(rig.keys.current()).toBeUndefined();
    expect(rig.keys.status()).toEqual({ loadedAgeMs: undefined, keys: 0, lastProblem: undefined });
    await rig.startWith(one.jwks(two));
    expect(rig.keys.current()?.generation).toBe(1);
    expect(rig.keys.current()?.find("one")?.kid).toBe("one");
    expect(rig.keys.current()?.find("three")).toBeUndefined();
    expect(rig.keys.current()?.find("toString")).toBeUndefined();
    rig.advance(7);
    expect(rig.keys.status()).toEqual({ loadedAgeMs: 7, keys: 2, lastProblem: undefined });
    expect(rig.outcomes).toEqual(["ok"]);
  });

  test("does not throw where it fails, and says why", async () => {
    const started = rig.keys.start();
    rig.load(0).fail("the network is away");
    await started;
    expect(rig.keys.current()).toBeUndefined();
    expect(rig.keys.status().lastProblem).toBe("the network is away");
    expect(rig.outcomes).toEqual(["failed: the network is away"]);
  });

  test("is not begun twice by starting twice", async () => {
    expect(rig.keys.start()).toBe(rig.keys.start());
    expect(rig.loads).toHaveLength(1);
    rig.load(0).succeed(one.jwks());
    await rig.keys.start();
    expect(rig.loads).toHaveLength(1);
  });

  test("is repeated with growing delays until it is good, then at the ordinary ones", async () => {
    const started = rig.keys.start();
    rig.load(0).fail("away");
    await started;
    const delays: number[] = [];
    for (let failures = 1; failures <= 7; failures += 1) {
      delays.push(rig.fire());
      rig.load(failures).fail("away");
      await rig.told(failures + 1);
    }
    expect(delays).toEqual([1000, 2000, 4000, 8000, 16_000, RETRY_LAST_MS, RETRY_LAST_MS]);
    rig.fire();
    rig.load(8).succeed(one.jwks());
    await rig.told(9);
    expect(rig.keys.current()?.generation).toBe(1);
    expect(rig.keys.status().lastProblem).toBeUndefined();
    expect(rig.fire()).toBe(URL_REFRESH_MS);
  });

  test("names skipped keys although the set is good", async () => {
    await rig.startWith({ keys: [one.jwk(), two.jwk({ use: "enc" })] });
    expect(rig.outcomes).toEqual(['ok: skipped key "two": its use is not "sig"']);
    expect(rig.keys.status()).toMatchObject({ keys: 1, lastProblem: undefined });
  });
});

describe("delays", () => {
  test("are shortened by at most the jitter's share", async () => {
    rig.random = 1;
    await rig.startWith(one.jwks());
    expect(rig.fire()).toBe(URL_REFRESH_MS * (1 - JITTER_SHARE));
  });

  test("are short for a file, so that a mended one is noticed", async () => {
    rig = new Rig({ location: { kind: "file", path: "/keys.json" } });
    await rig.startWith(one.jwks());
    expect(rig.fire()).toBe(FILE_REFRESH_MS);
  });

  test("grow from the first failure after the last good load", async () => {
    rig = new Rig({ maxAgeMs: 60_000 });
    const started = rig.keys.start();
    rig.load(0).fail("away");
    await started;
    for (let load = 1; load <= 5; load += 1) {
      rig.fire();
      rig.load(load).fail("away");
      await rig.told(load + 1);
    }
    rig.fire();
    rig.load(6).succeed(one.jwks());
    await rig.told(7);
    for (let load = 7; rig.keys.current() !== undefined; load += 1) {
      rig.fire();
      rig.load(load).fail("away");
      await rig.told(load + 1);
    }
    expect(rig.outcomes.slice(7)).toHaveLength(3);
    expect(rig.fire()).toBe(4000);
  });

  test("leave no gap where the maximum age is shorter than the ordinary delay", async () => {
    rig = new Rig({ maxAgeMs: 60_000 });
    await rig.startWith(one.jwks());
    expect(rig.fire()).toBe(30_000);
    expect(rig.keys.current()).toBeDefined();
  });
});

describe("a later load", () => {
  beforeEach(async () => {
    await rig.startWith(one.jwks());
    rig.fire();
  });

  test("of the same keys keeps the generation", async () => {
    rig.load(1).succeed({ keys: [one.jwk({ x5t: "new" }), "junk"] });
    await rig.told(2);
    expect(rig.outcomes[1]).toMatch(/^unchanged/);
    expect(rig.keys.current()?.generation).toBe(1);
    expect(rig.keys.status().loadedAgeMs).toBe(0);
  });

  test("of other keys begins a generation and withdraws the old keys", async () => {
    rig.load(1).succeed(two.jwks());
    await rig.told(2);
    expect(rig.keys.current()?.generation).toBe(2);
    expect(rig.keys.current()?.find("one")).toBeUndefined();
    expect(rig.keys.current()?.find("two")).toBeDefined();
  });

  test("of another key under the same kid begins a generation", async () => {
    rig.load(1).succeed({ keys: [two.jwk({ kid: "one" })] });
    await rig.told(2);
    expect(rig.keys.current()?.generation).toBe(2);
  });

  test.each<[string, unknown]>([
    ["an empty set", { keys: [] }],
    ["a set without a usable key", { keys: [two.jwk({ use: "enc" })] }],
    ["an ambiguous set", { keys: [one.jwk(), two.jwk({ kid: "one" })] }],
    ["something else", { error: "not found" }],
    ["null", null],
    ["a private key", { keys: [two.privateJwk()] }],
  ])("of %s leaves the good set in use", async (_, json) => {
    rig.load(1).succeed(json);
    await rig.told(2);
    expect(rig.outcomes[1]).toMatch(/^failed: the key set /);
    expect(rig.keys.current()?.generation).toBe(1);
    expect(rig.keys.current()?.find("one")).toBeDefined();
    expect(rig.keys.current()?.find("two")).toBeUndefined();
    expect(rig.keys.status()).toMatchObject({ loadedAgeMs: URL_REFRESH_MS, keys: 1 });
    expect(rig.keys.status().lastProblem).toMatch(/^the key set /);
  });

  test("that fails is tried again after the ordinary delay", async () => {
    rig.load(1).fail("away");
    await rig.told(2);
    expect(rig.fire()).toBe(URL_REFRESH_MS);
    rig.load(2).succeed(two.jwks());
    await rig.told(3);
    expect(rig.keys.current()?.generation).toBe(2);
    expect(rig.keys.status().lastProblem).toBeUndefined();
  });
});

describe("the maximum age", () => {
  test("counts from when the last good load was asked for", async () => {
    const started = rig.keys.start();
    rig.advance(4000);
    rig.load(0).succeed(one.jwks());
    await started;
    expect(rig.keys.status().loadedAgeMs).toBe(4000);
  });

  test.each([
    ["both clocks", MAX_AGE_MS, MAX_AGE_MS, true],
    ["both clocks", MAX_AGE_MS + 1, MAX_AGE_MS + 1, false],
    ["the wall clock alone, after the machine slept", MAX_AGE_MS + 1, 10, false],
    ["the monotonic clock alone, the other set back", -5000, MAX_AGE_MS + 1, false],
    ["neither", MAX_AGE_MS - 1, MAX_AGE_MS - 1, true],
  ])("is reached by %s: %i, %i, in use %s", async (_, wallMs, monotonicMs, inUse) => {
    await rig.startWith(one.jwks());
    rig.wallMs += wallMs;
    rig.monotonicMs += monotonicMs;
    expect(rig.keys.current() !== undefined).toBe(inUse);
    expect(rig.keys.status().keys).toBe(inUse ? 1 : 0);
  });

  test("is not put off by loads that fail, and a good one ends it in the same generation", async () => {
    await rig.startWith(one.jwks());
    let failures = 0;
    while (rig.keys.current() !== undefined) {
      rig.fire();
      failures += 1;
      rig.load(failures).fail("away");
      await rig.told(failures + 1);
    }
    expect(rig.keys.status().loadedAgeMs).toBeGreaterThan(MAX_AGE_MS);
    expect(failures).toBe(MAX_AGE_MS / URL_REFRESH_MS + 1);
    expect(rig.fire()).toBeLessThanOrEqual(RETRY_LAST_MS);
    rig.load(failures + 1).succeed(one.jwks());
    await rig.told(failures + 2);
    expect(rig.outcomes.at(-1)).toBe("unchanged");
    expect(rig.keys.current()?.generation).toBe(1);
  });
});

describe("an unknown kid", () => {
  beforeEach(async () => {
    await rig.startWith(one.jwks());
  });

  test("asks for one load, however often it is noted", async () => {
    for (let times = 0; times < 1000; times += 1) rig.keys.noteUnknownKid();
    expect(rig.loads).toHaveLength(2);
    rig.load(1).succeed(one.jwks(two));
    await rig.told(2);
    expect(rig.keys.current()?.find("two")).toBeDefined();
    rig.keys.noteUnknownKid();
    expect(rig.loads).toHaveLength(2);
  });

  test.each([
    [UNKNOWN_KID_REFRESH_MIN_MS - 1, 2],
    [UNKNOWN_KID_REFRESH_MIN_MS, 3],
    [UNKNOWN_KID_REFRESH_MIN_MS + 1, 3],
  ])("asks for another one after %i ms: %i loads in all", (ms, loads) => {
    rig.keys.noteUnknownKid();
    rig.advance(ms);
    rig.keys.noteUnknownKid();
    expect(rig.loads).toHaveLength(loads);
  });

  test("does not add a second row of timers", async () => {
    rig.keys.noteUnknownKid();
    rig.load(1).fail("away");
    await rig.told(2);
    expect(rig.timers).toHaveLength(1);
  });
});

describe("loads that overlap", () => {
  beforeEach(async () => {
    await rig.startWith(one.jwks());
    rig.fire();
    rig.keys.noteUnknownKid();
  });

  test("never let a slow one replace what a newer one brought", async () => {
    rig.load(2).succeed(two.jwks());
    await rig.told(2);
    rig.load(1).succeed(one.jwks());
    await until(() => rig.timers.length === 1);
    expect(rig.outcomes).toEqual(["ok", "ok"]);
    expect(rig.keys.current()?.generation).toBe(2);
    expect(rig.keys.current()?.find("one")).toBeUndefined();
  });

  test("never let a slow failure hide what a newer one brought", async () => {
    rig.load(2).succeed(two.jwks());
    await rig.told(2);
    rig.load(1).fail("away");
    await until(() => rig.timers.length === 1);
    expect(rig.outcomes).toEqual(["ok", "ok"]);
    expect(rig.keys.status().lastProblem).toBeUndefined();
  });

  test("are each applied where they end in the order of their beginning", async () => {
    rig.load(1).succeed(two.jwks());
    await rig.told(2);
    rig.load(2).succeed(one.jwks(two));
    await rig.told(3);
    expect(rig.keys.current()?.generation).toBe(3);
  });

  test("keep a good one although a newer one failed", async () => {
    rig.load(2).fail("away");
    await rig.told(2);
    rig.load(1).succeed(two.jwks());
    await rig.told(3);
    expect(rig.keys.current()?.find("two")).toBeDefined();
  });
});

describe("closing", () => {
  test("calls off the next load", async () => {
    await rig.startWith(one.jwks());
    expect(rig.timers).toHaveLength(1);
    rig.keys.close();
    expect(rig.timers).toHaveLength(0);
    rig.keys.noteUnknownKid();
    expect(rig.loads).toHaveLength(1);
  });

  test("aborts the load under way and takes nothing from it", async () => {
    const started = rig.keys.start();
    expect(rig.load(0).signal.aborted).toBe(false);
    rig.keys.close();
    expect(rig.load(0).signal.aborted).toBe(true);
    rig.load(0).succeed(one.jwks());
    await started;
    expect(rig.outcomes).toEqual([]);
    expect(rig.keys.current()).toBeUndefined();
    expect(rig.timers).toHaveLength(0);
  });
});
