import { describe, expect, test } from "@jest/globals";
import { hostname } from "node:os";
import { ConfigError } from "../../../../src/runtime/config/config-error.js";
import { VariableReader, maskSecrets } from "../../../../src/runtime/config/read-variables.js";
import { AUTHZ_VARIABLES, defaultNodeId } from "../../../../src/authz/authz-variables.js";
import {
  faultsOfNames,
  SCRIPT_VARIABLES,
  VARIABLES,
  type VariableName,
} from "../../../../src/cli/variables.js";

function read(name: VariableName, text: string | undefined) {
  const reader = new VariableReader(VARIABLES, { [name]: text }, []);
  return { value: reader.value(name), faults: reader.faults };
}

const tcp = (host: string, port: number) => ({ kind: "tcp", host, port });
const LONGEST_UNIX_PATH = `/${"a".repeat(106)}`;

/** The session service's are tested in sessions-variables.test.ts. */
type OwnName = keyof typeof AUTHZ_VARIABLES | keyof typeof SCRIPT_VARIABLES;

const ALLOWED: Readonly<Record<OwnName, readonly (readonly [string, unknown])[]>> = {
  SEKISHO_LISTEN: [
    ["127.0.0.1:0", tcp("127.0.0.1", 0)],
    ["0.0.0.0:65535", tcp("0.0.0.0", 65535)],
    ["localhost:9191", tcp("localhost", 9191)],
    ["[::1]:9191", tcp("::1", 9191)],
    ["[::]:1", tcp("::", 1)],
    ["unix:/run/sekisho.sock", { kind: "unix", path: "/run/sekisho.sock" }],
    [`unix:${LONGEST_UNIX_PATH}`, { kind: "unix", path: LONGEST_UNIX_PATH }],
  ],
  SEKISHO_LISTEN_MODE: [
    ["0600", 0o600],
    ["660", 0o660],
    ["0777", 0o777],
  ],
  SEKISHO_CONNECTIONS_MAX: [
    ["8", 8],
    ["65536", 65536],
  ],
  SEKISHO_CONNECTION_MAX_IDLE_S: [
    ["1", 1],
    ["86400", 86400],
  ],
  SEKISHO_CONNECTION_MAX_AGE_S: [
    ["0", 0],
    ["86400", 86400],
  ],
  SEKISHO_OPS_LISTEN: [["[::1]:9192", tcp("::1", 9192)]],
  SEKISHO_REDIS_URL: [
    ["redis://redis:6379", "redis://redis:6379"],
    ["rediss://user:p%40ss@redis.example:6380/0", "rediss://user:p%40ss@redis.example:6380/0"],
    ["redis://[::1]:6379", "redis://[::1]:6379"],
    ["redis://redis_1.svc:65535\n", "redis://redis_1.svc:65535"],
    ["redis://:p%25%F0%9F%94%91!$&'()*+,;=~@h", "redis://:p%25%F0%9F%94%91!$&'()*+,;=~@h"],
  ],
  SEKISHO_REDIS_PASSWORD_FILE: [["/run/secrets/redis", "/run/secrets/redis"]],
  SEKISHO_REDIS_MIN_REPLICAS: [
    ["0", 0],
    ["16", 16],
  ],
  SEKISHO_LOG_UNKEPT_MAX_S: [
    ["0", 0],
    ["86400", 86_400],
  ],
  SEKISHO_ISSUER: [["https://issuer.example", "https://issuer.example"]],
  SEKISHO_AUDIENCE: [["api", "api"]],
  SEKISHO_JWKS_URL: [
    ["https://issuer.example/jwks.json", "https://issuer.example/jwks.json"],
    ["http://127.0.0.1:8080/", "http://127.0.0.1:8080/"],
    ["https://me:p%25@h/%ff?a=%zz", "https://me:p%25@h/%ff?a=%zz"],
  ],
  SEKISHO_JWKS_FILE: [["jwks.json", "jwks.json"]],
  SEKISHO_ALGORITHMS: [
    ["ES256", ["ES256"]],
    ["EdDSA,ES256", ["ES256", "EdDSA"]],
    [" RS256 , PS256 ", ["RS256", "PS256"]],
    ["ES256,ES256", ["ES256"]],
  ],
  SEKISHO_JWKS_MAX_AGE_S: [
    ["60", 60],
    ["2592000", 2592000],
  ],
  SEKISHO_MAX_TOKEN_LIFETIME_S: [
    ["1", 1],
    ["86400", 86400],
  ],
  SEKISHO_CLOCK_SKEW_S: [
    ["1", 1],
    ["30", 30],
  ],
  SEKISHO_MAX_STALENESS_MS: [
    ["750", 750],
    ["60000", 60000],
  ],
  SEKISHO_ON_STALE: [
    ["deny", "deny"],
    ["allow", "allow"],
    ["error", "error"],
  ],
  SEKISHO_REVOCATIONS_MAX_ENTRIES: [
    ["1", 1],
    ["10000000", 10000000],
  ],
  SEKISHO_TOKEN_CACHE_MAX_ENTRIES: [
    ["1", 1],
    ["1000000", 1000000],
  ],
  SEKISHO_VERIFICATIONS_MAX_PENDING: [
    ["1", 1],
    ["65536", 65536],
  ],
  SEKISHO_NODE_ID: [
    ["node-1.eu_west", "node-1.eu_west"],
    ["a".repeat(128), "a".repeat(128)],
  ],
  SEKISHO_LOG_LEVEL: ["fatal", "error", "warn", "info", "debug", "trace", "silent"].map(
    (level) => [level, level] as const,
  ),
  SEKISHO_CONFIG: [["/etc/sekisho.yaml", "/etc/sekisho.yaml"]],
  SEKISHO_ENVOY: [["/usr/bin/envoy", "/usr/bin/envoy"]],
  SEKISHO_POSTGRES: [["/usr/lib/postgresql/15/bin", "/usr/lib/postgresql/15/bin"]],
};

const NO_WHOLE_NUMBERS = ["-1", "+1", "1.5", "1e3", "0x10", " 1", "1 ", "x", "NaN", "Infinity"];
const FORBIDDEN: Readonly<Partial<Record<OwnName, readonly string[]>>> = {
  SEKISHO_LISTEN: [
    ...["9191", ":9191", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1"],
    ...["::1:9191", "[::1]", "[::1]9191", "a b:1", "http://127.0.0.1:9191", "127.0.0.1:9191/"],
    ...["unix:", "unix:relative.sock", `unix:${LONGEST_UNIX_PATH}a`, "UNIX:/a", "127.0.0.1:9 "],
    `unix:/${"é".repeat(54)}`,
  ],
  SEKISHO_LISTEN_MODE: ["0577", "0060", "1660", "00660", "0o660", "0668", "u=rw", "0x1b0", "60"],
  SEKISHO_CONNECTIONS_MAX: [...NO_WHOLE_NUMBERS, "7", "65537"],
  SEKISHO_CONNECTION_MAX_IDLE_S: [...NO_WHOLE_NUMBERS, "0", "86401"],
  SEKISHO_CONNECTION_MAX_AGE_S: [...NO_WHOLE_NUMBERS, "86401"],
  SEKISHO_OPS_LISTEN: ["9192", "unix:ops.sock"],
  SEKISHO_REDIS_URL: [
    "redis",
    "localhost:6379",
    "http://redis",
    "redis://",
    "redis:redis:6379",
    "redis://redis/1",
    "redis://redis/15",
    "redis://redis/0#1",
  ],
  SEKISHO_REDIS_MIN_REPLICAS: [...NO_WHOLE_NUMBERS, "17"],
  SEKISHO_LOG_UNKEPT_MAX_S: [...NO_WHOLE_NUMBERS, "86401"],
  SEKISHO_JWKS_URL: ["issuer.example/jwks", "file:///jwks.json", "https://", "ftp://a/b"],
  SEKISHO_ALGORITHMS: ["none", "HS256", "es256", "ES256,none", ",", " ", "ES256;RS256", "ES384"],
  SEKISHO_JWKS_MAX_AGE_S: [...NO_WHOLE_NUMBERS, "59", "2592001"],
  SEKISHO_MAX_TOKEN_LIFETIME_S: [...NO_WHOLE_NUMBERS, "0", "86401"],
  SEKISHO_CLOCK_SKEW_S: [...NO_WHOLE_NUMBERS, "0", "31"],
  SEKISHO_MAX_STALENESS_MS: [...NO_WHOLE_NUMBERS, "749", "60001", "9999999999999999"],
  SEKISHO_ON_STALE: ["Deny", "DENY", " deny", "fail", "true"],
  SEKISHO_REVOCATIONS_MAX_ENTRIES: ["0", "10000001"],
  SEKISHO_TOKEN_CACHE_MAX_ENTRIES: ["0", "1000001"],
  SEKISHO_VERIFICATIONS_MAX_PENDING: ["0", "65537"],
  SEKISHO_NODE_ID: ["a b", "a:b", "a/b", "é", "a".repeat(129)],
  SEKISHO_LOG_LEVEL: ["INFO", "verbose", "warning"],
};

function isVariableName(name: string): name is OwnName {
  return Object.hasOwn(AUTHZ_VARIABLES, name) || Object.hasOwn(SCRIPT_VARIABLES, name);
}
const NAMES = Object.keys(VARIABLES).filter(isVariableName);

describe("each variable", () => {
  test.each(NAMES.flatMap((name) => ALLOWED[name].map((one) => [name, ...one] as const)))(
    "%s takes %j",
    (name, text, value) => {
      expect(read(name, text)).toEqual({ value, faults: [] });
    },
  );

  test.each(NAMES.flatMap((name) => (FORBIDDEN[name] ?? []).map((text) => [name, text] as const)))(
    "%s refuses %j, and says what is allowed",
    (name, text) => {
      const { value, faults } = read(name, text);
      expect(value).toBeUndefined();
      const problem = `must be ${VARIABLES[name].allowed}`;
      expect(faults).toEqual([{ where: name, value: text, problem }]);
    },
  );

  test.each([
    ["SEKISHO_LISTEN", tcp("127.0.0.1", 9191)],
    ["SEKISHO_LISTEN_MODE", 0o660],
    ["SEKISHO_CONNECTIONS_MAX", 256],
    ["SEKISHO_CONNECTION_MAX_IDLE_S", 300],
    ["SEKISHO_CONNECTION_MAX_AGE_S", 0],
    ["SEKISHO_OPS_LISTEN", tcp("127.0.0.1", 9192)],
    ["SEKISHO_REDIS_URL", undefined],
    ["SEKISHO_REDIS_PASSWORD_FILE", undefined],
    ["SEKISHO_REDIS_MIN_REPLICAS", 0],
    ["SEKISHO_LOG_UNKEPT_MAX_S", 0],
    ["SEKISHO_ISSUER", undefined],
    ["SEKISHO_AUDIENCE", undefined],
    ["SEKISHO_JWKS_URL", undefined],
    ["SEKISHO_JWKS_FILE", undefined],
    ["SEKISHO_ALGORITHMS", ["ES256"]],
    ["SEKISHO_JWKS_MAX_AGE_S", 86400],
    ["SEKISHO_MAX_TOKEN_LIFETIME_S", 900],
    ["SEKISHO_CLOCK_SKEW_S", 5],
    ["SEKISHO_MAX_STALENESS_MS", 1000],
    ["SEKISHO_ON_STALE", "deny"],
    ["SEKISHO_REVOCATIONS_MAX_ENTRIES", 200_000],
    ["SEKISHO_TOKEN_CACHE_MAX_ENTRIES", 50_000],
    ["SEKISHO_VERIFICATIONS_MAX_PENDING", 256],
    ["SEKISHO_NODE_ID", undefined],
    ["SEKISHO_LOG_LEVEL", "info"],
    ["SEKISHO_CONFIG", undefined],
    ["SEKISHO_ENVOY", undefined],
    ["SEKISHO_POSTGRES", undefined],
  ] as const)("%s is %j where it is unset or empty", (name, value) => {
    expect(read(name, undefined)).toEqual({ value, faults: [] });
    expect(read(name, "")).toEqual({ value, faults: [] });
  });

  test("says what it is for and what may stand in it", () => {
    for (const name of NAMES) {
      expect(VARIABLES[name].meaning).not.toBe("");
      expect(VARIABLES[name].allowed).not.toBe("");
    }
  });
});

describe("a variable that there is not", () => {
  test.each([
    ["SEKISHO_LISTN", "SEKISHO_LISTEN"],
    ["SEKISHO_MAX_STALENES_MS", "SEKISHO_MAX_STALENESS_MS"],
    ["SEKISHO_JWKS_URI", "SEKISHO_JWKS_URL"],
    ["SEKISHO_LOGLEVEL", "SEKISHO_LOG_LEVEL"],
  ])("as %s is a fault that suggests %s", (name, nearest) => {
    expect(faultsOfNames({ [name]: "x" })).toEqual([
      {
        where: name,
        value: undefined,
        problem: `is not a variable of Sekisho; did you mean ${nearest}?`,
      },
    ]);
  });

  test("is a fault even where it is empty, and its value is not told", () => {
    expect(faultsOfNames({ SEKISHO_REDIS_PASSWORD: "" })).toHaveLength(1);
    const told = JSON.stringify(faultsOfNames({ SEKISHO_REDIS_PASSWORD: "hunter2" }));
    expect(told).not.toContain("hunter2");
  });

  test("is none of ours without the prefix, and none of those that there are", () => {
    const known = Object.fromEntries(NAMES.map((name) => [name, "x"]));
    expect(faultsOfNames({ ...known, PATH: "/bin", sekisho_x: "", XSEKISHO_X: "" })).toEqual([]);
  });

  test("is not taken for one because objects have such a member", () => {
    expect(faultsOfNames({ SEKISHO_: "x", SEKISHO_constructor: "x" })).toHaveLength(2);
  });
});

describe("secrets in what is shown", () => {
  test.each([
    ["redis://user:pass@host:6379", "redis://***@host:6379"],
    ["redis://user:p@ss@host", "redis://***@host"],
    ["redis://:p//a@ss@host/0", "redis://***@host/0"],
    ["redis://user:pa\nss@host", "redis://***@host"],
    ["user:pass@host:6379", "***@host:6379"],
    ["redis:user:pass@host", "***@host"],
    ["redis:/user:pass@host", "***@host"],
    ["rediss//user:pass@host", "***@host"],
    ["http://user:pass@host", "http://***@host"],
    ["redis://host:x?password=pass", "redis://host:x?***"],
    ["redis://host:x?a=b@c", "redis://***@c"],
    ["redis://host:6379", "redis://host:6379"],
    ["127.0.0.1:65536", "127.0.0.1:65536"],
    ["", ""],
  ])("of %j are masked: %j", (text, masked) => {
    expect(maskSecrets(text)).toBe(masked);
  });

  test.each(["ftp://user:hunter2@host", "user:hunter2@redis:6379", "redis:user:hunter2@redis"])(
    "never reach the message about SEKISHO_REDIS_URL=%j",
    (text) => {
      const { faults } = read("SEKISHO_REDIS_URL", text);
      expect(faults).toHaveLength(1);
      const { message } = new ConfigError(faults);
      expect(message).toContain("SEKISHO_REDIS_URL");
      expect(message).not.toContain("hunter2");
      expect(message).not.toContain("user");
    },
  );
});

describe("the message of all faults", () => {
  test("has a line for each, with its name, its value and what is allowed", () => {
    const fault = (where: string, value: string | undefined) => ({ where, value, problem: "is x" });
    expect(new ConfigError([fault("A", "1")]).message).toBe(
      '1 fault in the configuration:\n  A="1" is x',
    );
    expect(new ConfigError([fault("A", "1"), fault("B", undefined)]).message).toBe(
      '2 faults in the configuration:\n  A="1" is x\n  B is x',
    );
  });
});

describe("the node's name", () => {
  test("is the host's where none is set, as a node's name may be", () => {
    expect(defaultNodeId()).toMatch(/^[A-Za-z0-9._-]{1,128}$/);
    expect(defaultNodeId()[0]).toBe(hostname().replace(/[^A-Za-z0-9._-]/, "-")[0]);
  });
});
