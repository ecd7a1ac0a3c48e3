import { describe, expect, test } from "@jest/globals";
import { ConfigError } from "../../../src/runtime/config/config-error.js";
import {
  readMaintenanceConfig,
  readSessionsConfig,
} from "../../../src/sessions/sessions-config.js";

const SECRET = Buffer.alloc(32, 7).toString("base64");

const LEAST = {
  SEKISHO_REDIS_URL: "redis://redis:6379",
  SEKISHO_ISSUER: "https://sessions.example",
  SEKISHO_AUDIENCE: "api",
  SEKISHO_DATA_DIR: "data",
  SEKISHO_SESSIONS_KEY_SECRET: SECRET,
};

const read = (env: Record<string, string>) => readSessionsConfig(env, []);

function faultsOf(env: Record<string, string>): ConfigError {
  try {
    read(env);
  } catch (error) {
    if (error instanceof ConfigError) return error;
    throw error;
  }
  throw new Error("there is no fault");
}

describe("the session service's configuration", () => {
  test("needs five variables; everything else has a default", () => {
    expect(read(LEAST)).toEqual({
      listen: { kind: "tcp", host: "127.0.0.1", port: 9180 },
      opsListen: { kind: "tcp", host: "127.0.0.1", port: 9181 },
      listenMode: 0o660,
      database: { kind: "folder", path: "data" },
      redisUrl: "redis://redis:6379",
      redisMinReplicas: 0,
      clockSkewS: 5,
      maxTokenLifetimeS: 900,
      horizonS: 970,
      issuer: "https://sessions.example",
      audience: "api",
      keys: {
        secret: new Uint8Array(32).fill(7),
        previousSecret: undefined,
        rotationS: 2_592_000,
        prepublishS: 3600,
      },
      tokenLifetimeS: 600,
      refreshToleranceS: 5,
      refreshRetryS: 120,
      refreshUnsearchedMaxS: 300,
      idleS: 1_209_600,
      maxAgeS: 7_776_000,
      trustedProxies: [],
      hashing: { concurrencyMax: 2, queueMax: 64 },
      limits: {
        loginsPerAccount: 10,
        loginsPerAddress: 60,
        accountsPerAddress: 20,
        refreshesPerAddress: 600,
        actsPerUser: 60,
        actsPerAdmin: 600,
      },
      lockout: { failures: 10, lockedS: 900 },
      logLevel: "info",
    });
  });

  test("takes PostgreSQL instead of a folder, also on a Unix socket", () => {
    const rest = { ...LEAST, SEKISHO_DATA_DIR: "" };
    for (const url of [
      "postgres://sekisho:secret@db:5432/sekisho",
      "postgresql://db/sekisho",
      "postgres://sekisho@/sekisho?host=/run/postgresql",
      "postgres:///sekisho?host=/run/postgresql",
    ]) {
      const { database } = read({ ...rest, SEKISHO_DATABASE_URL: url });
      expect(database).toEqual({ kind: "postgres", url, poolMax: 10 });
    }
  });

  test("refuses both databases, and none", () => {
    const both = { ...LEAST, SEKISHO_DATABASE_URL: "postgres://db/sekisho" };
    expect(faultsOf(both).message).toContain("users would be in two databases");
    const none = { ...LEAST, SEKISHO_DATA_DIR: "" };
    expect(faultsOf(none).message).toContain("neither is SEKISHO_DATA_DIR");
  });

  test("refuses tokens that live longer than the nodes accept", () => {
    const at = (lifetime: string) => ({ ...LEAST, SEKISHO_SESSIONS_TOKEN_LIFETIME_S: lifetime });
    expect(read(at("900")).tokenLifetimeS).toBe(900);
    expect(faultsOf(at("901")).message).toContain("must be at most SEKISHO_MAX_TOKEN_LIFETIME_S");
  });

  test("lets refreshes go on unsearched for half a token's lifetime at most", () => {
    const at = (max: string, lifetime: string) =>
      read({
        ...LEAST,
        SEKISHO_REFRESH_UNSEARCHED_MAX_S: max,
        SEKISHO_SESSIONS_TOKEN_LIFETIME_S: lifetime,
      }).refreshUnsearchedMaxS;
    expect([at("20", "600"), at("300", "60"), at("300", "1"), at("0", "600")]).toEqual([
      ...[20, 30, 1, 0],
    ]);
  });

  test("refuses keys that sign for a shorter time than they are published before", () => {
    const at = (rotation: string) => ({ ...LEAST, SEKISHO_SESSIONS_KEY_ROTATION_S: rotation });
    expect(read(at("3600")).keys.rotationS).toBe(3600);
    expect(faultsOf(at("3599")).message).toContain("cannot be published 3600 s in advance");
  });

  test("names every fault at once and shows no secret", () => {
    const error = faultsOf({
      SEKISHO_DATABASE_URL: "mysql://root:letmein@db/x",
      SEKISHO_SESSIONS_KEY_SECRET: "too-short-a-secret",
      SEKISHO_TRUSTED_PROXIES: "10.0.0.0/33",
    });
    expect(error.faults.map(({ where }) => where).sort()).toEqual([
      "SEKISHO_AUDIENCE",
      "SEKISHO_DATABASE_URL",
      "SEKISHO_ISSUER",
      "SEKISHO_REDIS_URL",
      "SEKISHO_SESSIONS_KEY_SECRET",
      "SEKISHO_TRUSTED_PROXIES",
    ]);
    expect(error.message).not.toMatch(/letmein|too-short-a-secret/);
    expect(error.message).toContain("openssl rand -base64 32");
  });

  test.each(["10.0.0.1", "10.0.0.0/8,::1", "2001:db8::/32"])("trusts the proxies %s", (proxies) => {
    const config = read({ ...LEAST, SEKISHO_TRUSTED_PROXIES: proxies });
    expect(config.trustedProxies).toEqual(proxies.split(","));
  });

  test.each([
    ...["proxy.example", "10.0.0.1/8/9", "10.0.0.1/x", "::/129"],
    ...["10.0.0.1:80", "[::1]:80", "[::1]"],
  ])("does not take %s for a proxy's address", (proxies) => {
    const error = faultsOf({ ...LEAST, SEKISHO_TRUSTED_PROXIES: proxies });
    expect(error.faults.map(({ where }) => where)).toEqual(["SEKISHO_TRUSTED_PROXIES"]);
  });

  test("of the commands beside it needs only the database", () => {
    const config = readMaintenanceConfig({ SEKISHO_DATA_DIR: "data" }, []);
    expect(config.database).toEqual({ kind: "folder", path: "data" });
    expect(() => readMaintenanceConfig({}, [])).toThrow("SEKISHO_DATABASE_URL");
  });
});
