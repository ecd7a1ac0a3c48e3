import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { parse } from "pg-connection-string";
import { ConfigError } from "../../src/runtime/config/config-error.js";
import { readRedisUrl } from "../../src/runtime/config/password-file.js";
import { readDatabaseUrl } from "../../src/sessions/sessions-config.js";
import { SESSIONS_VARIABLES } from "../../src/sessions/sessions-variables.js";
import { VariableReader } from "../../src/runtime/config/read-variables.js";

let folder: string;
let path: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "sekisho-password-"));
  path = join(folder, "password");
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const KINDS = [
  ["SEKISHO_REDIS", readRedisUrl, "redis://me@redis", "redis://me:other@redis"],
  ["SEKISHO_DATABASE", readDatabaseUrl, "postgres://me@db/s", "postgres://me:other@db/s"],
] as const;

function read(
  [prefix, readUrl]: (typeof KINDS)[number],
  url: string | undefined,
  content: string | Uint8Array | undefined,
) {
  if (content === undefined) rmSync(path, { force: true });
  else writeFileSync(path, content);
  const env = { [`${prefix}_URL`]: url, [`${prefix}_PASSWORD_FILE`]: path };
  const reader = new VariableReader(SESSIONS_VARIABLES, env, []);
  const value = readUrl(reader);
  const { faults } = reader;
  expect(new ConfigError(faults).message).not.toMatch(/hunter2|other/);
  return { value, faults: faults.map(({ where, problem }) => [where, problem] as const) };
}

const HARD = ["p%25", "%", "a@b:c/d?e#f", " '\"\\", "пароль🔑", "a&password=b", "+", "[x]"];

describe("a password from a file", () => {
  test.each(HARD)("reaches Redis as it is: %j", (password) => {
    for (const url of ["redis://me@redis:6379/0", "rediss://redis"]) {
      const { value, faults } = read(KINDS[0], url, `${password}\n`);
      expect(faults).toEqual([]);
      expect(decodeURIComponent(new URL(value ?? "").password)).toBe(password);
      expect((value ?? "").replace(/:[^:]*@/, "@").replace("//@", "//")).toBe(url);
    }
  });

  test.each(HARD)("reaches PostgreSQL as it is, on a Unix socket too: %j", (password) => {
    for (const url of [
      "postgres://me@db:5432/s?sslmode=disable",
      "postgres:///s?host=%2Frun%2Fpg&user=me",
      "postgres://me@/s?host=/run/pg",
    ]) {
      const { value, faults } = read(KINDS[1], url, password);
      expect(faults).toEqual([]);
      expect(parse(value ?? "")).toEqual({ ...parse(url), password });
    }
  });

  test.each([
    ["hunter2\n", "hunter2"],
    ["hunter2\r\n", "hunter2"],
    ["hunter2", "hunter2"],
    ["\ufeffhunter2\n", "hunter2"],
    [" hunter2 \n", " hunter2 "],
  ])("is the file's line without its line break: %j", (content, password) => {
    const { value } = read(KINDS[0], "redis://redis", content);
    expect(decodeURIComponent(new URL(value ?? "").password)).toBe(password);
  });
});

describe.each(KINDS)("%s_PASSWORD_FILE", (...kind) => {
  const [prefix, , url, withPassword] = kind;
  const file = `${prefix}_PASSWORD_FILE`;

  test.each([
    ["is not there", undefined, "cannot be read: there is no such file"],
    ["is empty", "", "is empty: it must hold the password"],
    ["has an empty line", "\n", "is empty: it must hold the password"],
    ["has two lines", "hunter2\nhunter2\n", "must hold one line, the password"],
    ["has a zero byte", "hunter2\0", "must hold one line, the password"],
    ["is no text", Uint8Array.of(0xff), "is not text in UTF-8"],
    ["is too large", "hunter2".repeat(2341), "is larger than 16 KiB"],
  ])("that %s is a fault that names it", (_what, content, problem) => {
    expect(read(kind, url, content)).toEqual({ value: undefined, faults: [[file, problem]] });
  });

  test("may have 16 KiB", () => {
    expect(read(kind, url, "p".repeat(16 * 1024)).faults).toEqual([]);
  });

  test("that is a folder is a fault", () => {
    rmSync(path, { force: true });
    mkdirSync(path);
    const reader = new VariableReader(
      SESSIONS_VARIABLES,
      {
        [`${prefix}_URL`]: url,
        [file]: path,
      },
      [],
    );
    kind[1](reader);
    const { faults } = reader;
    rmSync(path, { recursive: true });
    expect(faults).toMatchObject([{ where: file, value: path, problem: "is not a file" }]);
  });

  test("beside a password in the URL is a fault", () => {
    const problem = `is set, and ${prefix}_URL holds a password as well: leave one of them out`;
    expect(read(kind, withPassword, "hunter2").faults).toEqual([[file, problem]]);
  });

  test("has its fault told beside one of the URL", () => {
    const wheres = read(kind, "mysql://x", undefined).faults.map(([where]) => where);
    expect(wheres).toEqual([`${prefix}_URL`, file]);
  });
});

test("a password in PostgreSQL's query counts as one in the URL", () => {
  const { faults } = read(KINDS[1], "postgres:///s?host=/run/pg&password=other", "hunter2");
  expect(faults.map(([where]) => where)).toEqual(["SEKISHO_DATABASE_PASSWORD_FILE"]);
});

test("a password for no database is a fault", () => {
  const problem = "is set, but SEKISHO_DATABASE_URL is not";
  const { faults } = read(KINDS[1], undefined, "hunter2");
  expect(faults).toEqual([["SEKISHO_DATABASE_PASSWORD_FILE", problem]]);
});

test("a certificate that cannot be read is a fault of the URL that names it", () => {
  const certificate = join(folder, "ca.pem");
  const url = `postgres://db/s?sslmode=verify-full&sslrootcert=${certificate}`;
  const reader = () => new VariableReader(SESSIONS_VARIABLES, { SEKISHO_DATABASE_URL: url }, []);
  const missing = reader();
  readDatabaseUrl(missing);
  expect(missing.faults).toEqual([
    {
      where: "SEKISHO_DATABASE_URL",
      value: certificate,
      problem:
        "names a file in its parameter sslrootcert that cannot be read: there is no such file",
    },
  ]);
  writeFileSync(certificate, "-----BEGIN CERTIFICATE-----\n");
  const present = reader();
  expect(readDatabaseUrl(present)).toBe(url);
  expect(present.faults).toEqual([]);
});
