import { describe, expect, test } from "@jest/globals";
import { readAuthzConfig } from "../../../src/authz/authz-config.js";
import { ConfigError } from "../../../src/runtime/config/config-error.js";
import { faultsOfNames } from "../../../src/cli/variables.js";
import { readOperatorConfig } from "../../../src/cli/operator-config.js";
import { defaultNodeId } from "../../../src/authz/authz-variables.js";
import { DEFAULT_CLAIM_NAMES } from "../../../src/tokens/issuer.js";

const LEAST = {
  SEKISHO_REDIS_URL: "redis://redis:6379",
  SEKISHO_ISSUER: "https://issuer.example",
  SEKISHO_AUDIENCE: "api",
  SEKISHO_JWKS_URL: "https://issuer.example/jwks.json",
};

function faultsOf(readConfig: () => unknown): ConfigError {
  try {
    readConfig();
  } catch (error) {
    if (error instanceof ConfigError) return error;
    throw error;
  }
  throw new Error("there is no fault");
}

const read = (env: Record<string, string>) => readAuthzConfig(env, []);

const wheresOf = (env: Record<string, string>) =>
  faultsOf(() => readAuthzConfig(env, faultsOfNames(env))).faults.map(({ where }) => where);

describe("the sidecar's configuration", () => {
  test("needs four variables; everything else has a default", () => {
    expect(read(LEAST)).toEqual({
      listen: { kind: "tcp", host: "127.0.0.1", port: 9191 },
      opsListen: { kind: "tcp", host: "127.0.0.1", port: 9192 },
      listenMode: 0o660,
      connectionsMax: 256,
      connectionMaxIdleS: 300,
      connectionMaxAgeS: 0,
      redisUrl: "redis://redis:6379",
      redisMinReplicas: 0,
      logUnkeptMaxS: 0,
      issuers: [
        {
          issuer: "https://issuer.example",
          audience: "api",
          keyLocation: { kind: "url", url: "https://issuer.example/jwks.json" },
          algorithms: ["ES256"],
          typ: "at+jwt",
          tenants: undefined,
          claims: DEFAULT_CLAIM_NAMES,
        },
      ],
      jwksMaxAgeS: 86400,
      maxTokenLifetimeS: 900,
      clockSkewS: 5,
      maxStalenessMs: 1000,
      onStale: "deny",
      revocationsMaxEntries: 200_000,
      tokenCacheMaxEntries: 50_000,
      verificationsMaxPending: 256,
      nodeId: defaultNodeId(),
      logLevel: "info",
    });
  });

  test("puts every variable in its place", () => {
    const config = read({
      ...LEAST,
      SEKISHO_JWKS_URL: "",
      SEKISHO_LISTEN: "unix:/a",
      SEKISHO_OPS_LISTEN: "unix:/b",
      SEKISHO_LISTEN_MODE: "0600",
      SEKISHO_CONNECTIONS_MAX: "68",
      SEKISHO_CONNECTION_MAX_IDLE_S: "69",
      SEKISHO_CONNECTION_MAX_AGE_S: "70",
      SEKISHO_JWKS_FILE: "keys.json",
      SEKISHO_ALGORITHMS: "EdDSA",
      SEKISHO_JWKS_MAX_AGE_S: "61",
      SEKISHO_MAX_TOKEN_LIFETIME_S: "62",
      SEKISHO_CLOCK_SKEW_S: "3",
      SEKISHO_MAX_STALENESS_MS: "764",
      SEKISHO_ON_STALE: "error",
      SEKISHO_REVOCATIONS_MAX_ENTRIES: "65",
      SEKISHO_TOKEN_CACHE_MAX_ENTRIES: "66",
      SEKISHO_VERIFICATIONS_MAX_PENDING: "67",
      SEKISHO_NODE_ID: "n",
      SEKISHO_LOG_LEVEL: "debug",
    });
    expect(config).toMatchObject({
      listen: { kind: "unix", path: "/a" },
      opsListen: { kind: "unix", path: "/b" },
      listenMode: 0o600,
      connectionsMax: 68,
      connectionMaxIdleS: 69,
      connectionMaxAgeS: 70,
      issuers: [{ keyLocation: { kind: "file", path: "keys.json" }, algorithms: ["EdDSA"] }],
      jwksMaxAgeS: 61,
      maxTokenLifetimeS: 62,
      clockSkewS: 3,
      maxStalenessMs: 764,
      onStale: "error",
      revocationsMaxEntries: 65,
      tokenCacheMaxEntries: 66,
      verificationsMaxPending: 67,
      nodeId: "n",
      logLevel: "debug",
    });
  });

  test.each(Object.keys(LEAST))("says that %s is missing, also where it is empty", (name) => {
    const others = Object.entries(LEAST).filter(([one]) => one !== name);
    expect(wheresOf(Object.fromEntries(others))).toEqual([name]);
    expect(wheresOf({ ...LEAST, [name]: "" })).toEqual([name]);
  });

  test("says of all four at once that they are missing", () => {
    expect(wheresOf({}).sort()).toEqual(Object.keys(LEAST).sort());
    const wrong = { SEKISHO_ALGORITHMS: "none" };
    expect(wheresOf(wrong).sort()).toEqual([...Object.keys(LEAST), ...Object.keys(wrong)].sort());
  });

  test("counts what is empty as unset", () => {
    const empty = { SEKISHO_LISTEN: "", SEKISHO_CONFIG: "", SEKISHO_JWKS_FILE: "" };
    const more = { SEKISHO_CLOCK_SKEW_S: "", SEKISHO_NODE_ID: "", SEKISHO_ALGORITHMS: "" };
    expect(read({ ...LEAST, ...empty, ...more })).toEqual(read(LEAST));
  });

  test("takes keys from one place only", () => {
    const error = faultsOf(() => read({ ...LEAST, SEKISHO_JWKS_FILE: "k.json" }));
    expect(error.faults).toHaveLength(1);
    expect(error.message).toContain(
      'SEKISHO_JWKS_FILE="k.json" is set as well as SEKISHO_JWKS_URL',
    );
  });

  test("does not call the place of the keys missing where it is wrong", () => {
    expect(wheresOf({ ...LEAST, SEKISHO_JWKS_URL: "nonsense" })).toEqual(["SEKISHO_JWKS_URL"]);
  });

  test("leaves alone what other programs use, though not what nobody uses", () => {
    const config = { ...LEAST, SEKISHO_ENVOY: "/envoy", SEKISHO_REDIS_MIN_REPLICAS: "2" };
    expect(read(config).redisUrl).toBe("redis://redis:6379");
    expect(wheresOf({ ...LEAST, SEKISHO_LISTN: "x" })).toEqual(["SEKISHO_LISTN"]);
  });

  test("names every fault at once", () => {
    const faulty = {
      SEKISHO_LISTEN: "nowhere",
      SEKISHO_OPS_LISTEN: "nowhere",
      SEKISHO_REDIS_URL: "http://user:hunter2@redis",
      SEKISHO_AUDIENCE: "",
      SEKISHO_JWKS_URL: "x",
      SEKISHO_ALGORITHMS: "none",
      SEKISHO_JWKS_MAX_AGE_S: "0",
      SEKISHO_MAX_TOKEN_LIFETIME_S: "0",
      SEKISHO_CLOCK_SKEW_S: "-1",
      SEKISHO_MAX_STALENESS_MS: "1",
      SEKISHO_ON_STALE: "x",
      SEKISHO_REVOCATIONS_MAX_ENTRIES: "0",
      SEKISHO_TOKEN_CACHE_MAX_ENTRIES: "0",
      SEKISHO_VERIFICATIONS_MAX_PENDING: "0",
      SEKISHO_NODE_ID: "a b",
      SEKISHO_LOG_LEVEL: "loud",
      SEKISHO_BOGUS: "x",
    };
    const { faults, message } = faultsOf(() => readAuthzConfig(faulty, faultsOfNames(faulty)));
    const named = [...Object.keys(faulty), "SEKISHO_ISSUER"].sort();
    expect(faults.map(({ where }) => where).sort()).toEqual(named);
    expect(message.split("\n")).toHaveLength(1 + named.length);
    expect(message).toMatch(/^18 faults in the configuration:\n/);
    expect(message).not.toContain("hunter2");
  });
});

describe("the operators' configuration", () => {
  test("needs Redis alone, and works out how long a log must remember", () => {
    expect(readOperatorConfig({ SEKISHO_REDIS_URL: "redis://redis" })).toEqual({
      redisUrl: "redis://redis",
      redisMinReplicas: 0,
      clockSkewS: 5,
      horizonS: 900 + 2 * 5 + 60,
    });
  });

  test("follows the token's lifetime and the skew", () => {
    const config = readOperatorConfig({
      SEKISHO_REDIS_URL: "redis://redis",
      SEKISHO_REDIS_MIN_REPLICAS: "2",
      SEKISHO_MAX_TOKEN_LIFETIME_S: "3600",
      SEKISHO_CLOCK_SKEW_S: "1",
    });
    expect(config).toMatchObject({ redisMinReplicas: 2, clockSkewS: 1, horizonS: 3662 });
  });

  test("leaves alone what the sidecar is told, however wrong", () => {
    const env = { SEKISHO_REDIS_URL: "redis://redis", SEKISHO_LISTEN: "x", SEKISHO_ISSUER: "y" };
    expect(readOperatorConfig(env).redisUrl).toBe("redis://redis");
  });

  test.each([
    [{}, ["SEKISHO_REDIS_URL"]],
    [{ SEKISHO_REDIS_URL: "" }, ["SEKISHO_REDIS_URL"]],
    [{ SEKISHO_REDIS_URL: "x" }, ["SEKISHO_REDIS_URL"]],
    [
      { SEKISHO_X: "1", SEKISHO_REDIS_MIN_REPLICAS: "17", SEKISHO_CLOCK_SKEW_S: "x" },
      ["SEKISHO_X", "SEKISHO_REDIS_URL", "SEKISHO_REDIS_MIN_REPLICAS", "SEKISHO_CLOCK_SKEW_S"],
    ],
  ])("of %j has its faults named at once", (env: Record<string, string>, wheres) => {
    const { faults } = faultsOf(() => readOperatorConfig(env));
    expect(faults.map(({ where }) => where)).toEqual(wheres);
  });
});
