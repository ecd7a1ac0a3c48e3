import { describe, expect, test } from "@jest/globals";
import type { COMMAND_VARIABLES } from "../../../src/cli/variables.js";
import { VARIABLES } from "../../../src/cli/variables.js";
import { COMMON_VARIABLES } from "../../../src/runtime/config/common-variables.js";
import { VariableReader, type ConfigFault } from "../../../src/runtime/config/read-variables.js";
import { SESSIONS_VARIABLES } from "../../../src/sessions/sessions-variables.js";

type Name = keyof typeof SESSIONS_VARIABLES | keyof typeof COMMAND_VARIABLES;

/** The least and the most that each may be, and its default. */
const NUMBERS: readonly (readonly [Name, number, number, number])[] = [
  ["SEKISHO_DATABASE_POOL_MAX", 2, 200, 10],
  ["SEKISHO_SESSIONS_TOKEN_LIFETIME_S", 1, 86_400, 600],
  ["SEKISHO_REFRESH_TOLERANCE_S", 0, 60, 5],
  ["SEKISHO_REFRESH_RETRY_S", 0, 3600, 120],
  ["SEKISHO_REFRESH_UNSEARCHED_MAX_S", 0, 3600, 300],
  ["SEKISHO_SESSIONS_IDLE_S", 60, 31_536_000, 1_209_600],
  ["SEKISHO_SESSIONS_MAX_AGE_S", 60, 315_360_000, 7_776_000],
  ["SEKISHO_SESSIONS_KEY_ROTATION_S", 600, 31_536_000, 2_592_000],
  ["SEKISHO_SESSIONS_KEY_PREPUBLISH_S", 600, 2_592_000, 3600],
  ["SEKISHO_SESSIONS_HASHES_MAX", 1, 64, 2],
  ["SEKISHO_SESSIONS_HASH_QUEUE_MAX", 1, 10_000, 64],
  ["SEKISHO_SESSIONS_LOGINS_PER_ACCOUNT", 1, 100_000, 10],
  ["SEKISHO_SESSIONS_LOGINS_PER_ADDRESS", 1, 100_000, 60],
  ["SEKISHO_SESSIONS_ACCOUNTS_PER_ADDRESS", 1, 100_000, 20],
  ["SEKISHO_SESSIONS_REFRESHES_PER_ADDRESS", 1, 100_000, 600],
  ["SEKISHO_SESSIONS_ACTS_PER_USER", 1, 100_000, 60],
  ["SEKISHO_SESSIONS_ACTS_PER_ADMIN", 1, 100_000, 600],
  ["SEKISHO_SESSIONS_LOCKOUT_FAILURES", 1, 1000, 10],
  ["SEKISHO_SESSIONS_LOCKOUT_S", 1, 86_400, 900],
];

function read(name: Name, text: string): { value: unknown; faults: readonly ConfigFault[] } {
  const reader = new VariableReader(VARIABLES, { [name]: text }, []);
  return { value: reader.value(name), faults: reader.faults };
}

describe("a number", () => {
  test.each(NUMBERS)(
    "of %s is from %d to %d, and %d where it is unset",
    (name, min, max, unset) => {
      expect(read(name, String(min))).toEqual({ value: min, faults: [] });
      expect(read(name, String(max))).toEqual({ value: max, faults: [] });
      expect(read(name, "")).toEqual({ value: unset, faults: [] });
      for (const text of [String(min - 1), String(max + 1), "1.5", "x", " 1"]) {
        const { value, faults } = read(name, text);
        expect(value).toBeUndefined();
        expect(faults).toHaveLength(1);
      }
    },
  );

  test("stands in the list above for every variable that is one", () => {
    const numbers = Object.entries(SESSIONS_VARIABLES)
      .filter(([name]) => !Object.hasOwn(COMMON_VARIABLES, name))
      .filter(([, { allowed }]) => allowed.startsWith("a whole number"))
      .map(([name]) => name);
    expect(NUMBERS.map(([name]) => name)).toEqual(numbers);
  });
});

describe("a secret", () => {
  const NAMES = ["SEKISHO_SESSIONS_KEY_SECRET", "SEKISHO_SESSIONS_KEY_SECRET_PREVIOUS"] as const;
  const bytes = Uint8Array.from({ length: 32 }, (_, i) => 255 - i);

  test.each(NAMES)("%s is 32 bytes in base64 or base64url, padded or not", (name) => {
    const base64 = Buffer.from(bytes).toString("base64");
    const base64url = Buffer.from(bytes).toString("base64url");
    for (const text of [base64, base64.replace("=", ""), base64url, `${base64url}=`]) {
      expect(read(name, text)).toEqual({ value: bytes, faults: [] });
    }
  });

  test.each(NAMES)("%s is refused without being shown", (name) => {
    for (const length of [0, 16, 31, 33, 64].slice(1)) {
      const text = Buffer.alloc(length, 9).toString("base64");
      const { value, faults } = read(name, text);
      expect(value).toBeUndefined();
      expect(faults.map((fault) => fault.value)).toEqual(["***"]);
    }
  });
});

describe("the other variables", () => {
  test.each([
    ["SEKISHO_SESSIONS_LISTEN", "[::1]:0", { kind: "tcp", host: "::1", port: 0 }],
    ["SEKISHO_SESSIONS_OPS_LISTEN", "unix:/run/o.sock", { kind: "unix", path: "/run/o.sock" }],
    ["SEKISHO_DATABASE_URL", "postgres://db/sekisho", "postgres://db/sekisho"],
    ["SEKISHO_DATA_DIR", "/var/lib/sekisho", "/var/lib/sekisho"],
    ["SEKISHO_TRUSTED_PROXIES", "10.0.0.0/8, ::1", ["10.0.0.0/8", "::1"]],
    ["SEKISHO_TRUSTED_PROXIES", "unix", ["unix"]],
    ["SEKISHO_SESSIONS_URL", "https://sessions.example", "https://sessions.example"],
    ["SEKISHO_SESSIONS_TOKEN", "a.b.c", "a.b.c"],
  ] as const)("%s takes %j", (name, text, value) => {
    expect(read(name, text)).toEqual({ value, faults: [] });
  });

  test.each([
    ["SEKISHO_SESSIONS_LISTEN", "9180"],
    ["SEKISHO_SESSIONS_OPS_LISTEN", "localhost"],
    ["SEKISHO_DATABASE_URL", "mysql://db/sekisho"],
    ["SEKISHO_DATABASE_URL", "db/sekisho"],
    ["SEKISHO_TRUSTED_PROXIES", "localhost"],
    ["SEKISHO_SESSIONS_URL", "sessions.example"],
  ] as const)("%s refuses %j", (name, text) => {
    expect(read(name, text)).toMatchObject({ value: undefined, faults: [{ where: name }] });
  });
});
