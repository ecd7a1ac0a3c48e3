import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AUTHZ_VARIABLES } from "../../src/authz/authz-variables.js";
import { readIssuers } from "../../src/authz/issuers-config.js";
import { VariableReader, describeFaults } from "../../src/runtime/config/read-variables.js";
import { DEFAULT_CLAIM_NAMES } from "../../src/tokens/issuer.js";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "sekisho-config-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** What a file with this text gives, with the file's own path left out. */
function readFile(text: string, env: Record<string, string> = {}) {
  const path = join(folder, "issuers.yaml");
  writeFileSync(path, text);
  const read = new VariableReader(AUTHZ_VARIABLES, { ...env, SEKISHO_CONFIG: path }, []);
  const issuers = readIssuers(read);
  const { faults } = read;
  return {
    issuers,
    faults: faults.map(({ where, problem }) => `${where.replace(`${path}: `, "")} ${problem}`),
    message: describeFaults(faults).replaceAll(path, "FILE"),
  };
}

/** What is told of a file that is not one of issuers, with the place where it stands left out. */
function problemOf(path: string): string | undefined {
  const reader = new VariableReader(AUTHZ_VARIABLES, { SEKISHO_CONFIG: path }, []);
  expect(readIssuers(reader)).toEqual([]);
  const { faults } = reader;
  expect(faults).toHaveLength(1);
  expect(faults[0]).toMatchObject({ where: "SEKISHO_CONFIG", value: path });
  return faults[0]?.problem;
}

const ONE = `
  - issuer: https://one.example
    audience: api
    jwks_url: https://one.example/jwks.json
`;

describe("a file of issuers", () => {
  test("gives a sole issuer its defaults", () => {
    expect(readFile(`issuers:${ONE}`)).toMatchObject({
      faults: [],
      issuers: [
        {
          issuer: "https://one.example",
          audience: "api",
          keyLocation: { kind: "url", url: "https://one.example/jwks.json" },
          algorithms: ["ES256"],
          typ: "at+jwt",
          tenants: undefined,
          claims: DEFAULT_CLAIM_NAMES,
        },
      ],
    });
  });

  test("gives several issuers all that they say", () => {
    const { issuers, faults } = readFile(`
issuers:
  - issuer: https://one.example
    audience: api
    jwks_file: one.json
    algorithms: [RS256, EdDSA]
    typ: JWT
    tenants: [acme, "a c:m%e", 関所]
    claims: { tenant: org, user: sub, session: sid, epoch: null }
  - issuer: https://two.example
    audience: api
    jwks_url: http://127.0.0.1:8080/
    tenants: [b]
    claims: { session: sid }
`);
    expect(faults).toEqual([]);
    expect(issuers).toEqual([
      {
        issuer: "https://one.example",
        audience: "api",
        keyLocation: { kind: "file", path: "one.json" },
        algorithms: ["RS256", "EdDSA"],
        typ: "JWT",
        tenants: new Set(["acme", "a c:m%e", "関所"]),
        claims: { tenant: "org", user: "sub", session: "sid", epoch: null },
      },
      {
        issuer: "https://two.example",
        audience: "api",
        keyLocation: { kind: "url", url: "http://127.0.0.1:8080/" },
        algorithms: ["ES256"],
        typ: "at+jwt",
        tenants: new Set(["b"]),
        claims: { ...DEFAULT_CLAIM_NAMES, session: "sid" },
      },
    ]);
  });

  test("excludes the variables of a sole issuer, each of them", () => {
    const sole = {
      SEKISHO_ISSUER: "x",
      SEKISHO_AUDIENCE: "x",
      SEKISHO_JWKS_URL: "https://user:hunter2@host/",
      SEKISHO_JWKS_FILE: "x",
      SEKISHO_ALGORITHMS: "ES256",
    };
    for (const [name, value] of Object.entries(sole)) {
      expect(readFile(`issuers:${ONE}`, { [name]: value }).faults).toEqual([
        `${name} describes a single issuer, but SEKISHO_CONFIG names a file with all of them`,
      ]);
      expect(readFile(`issuers:${ONE}`, { [name]: "" }).faults).toEqual([]);
    }
    const read = new VariableReader(AUTHZ_VARIABLES, { ...sole, SEKISHO_CONFIG: "/nowhere" }, []);
    readIssuers(read);
    expect(JSON.stringify(read.faults)).not.toContain("hunter2");
  });

  test("needs tenants where there is more than one issuer", () => {
    const two = ONE.replaceAll("one", "two");
    expect(readFile(`issuers:${ONE}${two}`).faults).toEqual([
      "issuers[0].tenants is needed with more than one issuer: the tenants that it may issue tokens for",
      "issuers[1].tenants is needed with more than one issuer: the tenants that it may issue tokens for",
    ]);
    expect(readFile(`issuers:${ONE}    tenants: [a]${two}`).faults).toEqual([
      "issuers[1].tenants is needed with more than one issuer: the tenants that it may issue tokens for",
    ]);
  });

  test("holds each issuer once", () => {
    const bound = `${ONE}    tenants: [a]`;
    expect(readFile(`issuers:${bound}${bound}`).faults).toEqual([
      "issuers[1].issuer occurs twice: write one entry for each issuer",
    ]);
  });

  test.each([
    ["no list", "issuers: 7", ["issuers "]],
    ["an empty list", "issuers: []", ["issuers "]],
    ["nothing", "", ["the file "]],
    ["a list at the top", "- a", ["the file "]],
    ["another key beside it", `other: 1\nissuers:${ONE}`, ["other is not known here"]],
    ["an issuer that is no object", "issuers: [x]", ["issuers[0] "]],
    ["an unknown member", `issuers:${ONE}    tenant: [a]`, ["issuers[0].tenant is not known"]],
    [
      "no audience",
      `issuers:${ONE.replace("audience", "typ")}`,
      ["issuers[0].audience is missing: a text"],
    ],
    ["an empty audience", `issuers:${ONE.replace("api", '""')}`, ["issuers[0].audience "]],
    ["a number as issuer", `issuers:${ONE.replace(/https:\S+/, "7")}`, ["issuers[0].issuer "]],
    [
      "no place of keys",
      `issuers:${ONE.replace(/jwks_url.*/, "")}`,
      ["issuers[0].jwks_url is missing, and so is jwks_file: where the issuer"],
    ],
    [
      "two places of keys",
      `issuers:${ONE}    jwks_file: k`,
      ["issuers[0].jwks_file is set as well as jwks_url"],
    ],
    [
      "keys by another protocol",
      `issuers:${ONE.replace("https://one.example/jwks", "ftp://one/jwks")}`,
      ["issuers[0].jwks_url "],
    ],
    ["no algorithm", `issuers:${ONE}    algorithms: []`, ["issuers[0].algorithms "]],
    ["`none`", `issuers:${ONE}    algorithms: [none]`, ["issuers[0].algorithms[0] "]],
    ["HMAC", `issuers:${ONE}    algorithms: [ES256, HS256]`, ["issuers[0].algorithms[1] "]],
    ["no tenant", `issuers:${ONE}    tenants: []`, ["issuers[0].tenants "]],
    ["an empty tenant", `issuers:${ONE}    tenants: [a, ""]`, ["issuers[0].tenants[1] "]],
    ["a null tenant claim", `issuers:${ONE}    claims: { tenant: null }`, ["issuers[0].claims"]],
    [
      "an unknown claim",
      `issuers:${ONE}    claims: { users: x }`,
      ["issuers[0].claims.users is not known here; allowed are tenant, user, session, epoch"],
    ],
    [
      "empty claims",
      `issuers:${ONE}    claims:`,
      ["issuers[0].claims must be an object of tenant"],
    ],
  ])("with %s is a fault that names its place", (_what, text, places) => {
    const { issuers, faults } = readFile(text);
    expect(issuers).toEqual([]);
    expect(faults).toHaveLength(places.length);
    faults.forEach((fault, at) => expect(fault).toContain(places[at]));
    faults.forEach((fault) => expect(fault).not.toContain("\n"));
  });

  test("has all its faults told at once, with value and what is allowed", () => {
    const { issuers, message } = readFile(`
issuers:
  - issuer: a
    audiance: api
    jwks_url: ftp://user:hunter2@x
    algorithms: [ES256, none]
    tenants: [b]
  - issuer: a
    audience: 7
    jwks_url: https://x/
    jwks_file: y
    typ: "two\\nlines"
  - { issuer: c, audience: [d], tenants: ["", e] }
other: 1
`);
    expect(issuers).toEqual([]);
    const allowed = "issuer, audience, jwks_url, jwks_file, algorithms, typ, tenants, claims";
    expect(message.split("\n").sort()).toEqual(
      [
        "12 faults in the configuration:",
        "  FILE: issuers[0].audience is missing: a text of 1 to 256 characters",
        `  FILE: issuers[0].audiance is not known here; allowed are ${allowed}`,
        '  FILE: issuers[0].jwks_url="ftp://***@x" must be a URL that begins with https:// or http://',
        '  FILE: issuers[0].algorithms[1]="none" must be one of ES256, RS256, PS256, EdDSA',
        '  FILE: issuers[1].audience="7" must be a text of 1 to 256 characters',
        '  FILE: issuers[1].issuer="a" occurs twice: write one entry for each issuer',
        "  FILE: issuers[1].jwks_file is set as well as jwks_url: set only one of them",
        "  FILE: issuers[1].tenants is needed with more than one issuer: the tenants that it may issue tokens for",
        '  FILE: issuers[2].audience="[…]" must be a text of 1 to 256 characters',
        "  FILE: issuers[2].jwks_url is missing, and so is jwks_file: where the issuer publishes its keys (a JWK Set)",
        '  FILE: issuers[2].tenants[0]="" must be 1 to 256 characters of well-formed Unicode without control characters',
        "  FILE: other is not known here; allowed are issuers",
      ].sort(),
    );
  });

  test("has a long value and a long key told in short, in one line", () => {
    const long = `"${"x".repeat(300)}"`;
    const { message } = readFile(`issuers:${ONE}    typ: ${long}\n    ${long}: 1\n    "a\\nb": 1`);
    expect(message).toContain(`issuers[0].typ="${"x".repeat(100)}…" must be a text`);
    expect(message).toContain(`issuers[0].${"x".repeat(100)}… is not known here`);
    expect(message).toContain("issuers[0].a\ufffdb is not known here");
  });

  test("with faults without end has a hundred of them told, and how many more there are", () => {
    const keys = Array.from({ length: 1000 }, (_, at) => `k${at}: 1`).join("\n");
    const { faults } = readFile(`issuers:${ONE}\n${keys}`);
    expect(faults).toHaveLength(101);
    expect(faults[100]).toMatch(/ has 900 more$/);
  });

  test.each([
    ["issuers: [\n  a: b: hunter2", "block in flow at line 2, column 6"],
    ["issuers: 1\nissuers: hunter2", "duplicate key at line 2, column 1"],
    ["issuers: !hunter2 x", "tag resolve failed at line 1, column 10"],
    ["issuers: 1\n---\nhunter2: 1", "multiple docs at line 2, column 1"],
    ["issuers: *hunter2", "it has unresolved aliases, or too many"],
  ])("that is no YAML, as %j, has kind and place told and nothing of it", (text, told) => {
    const { faults } = readFile(text);
    expect(faults).toEqual([`SEKISHO_CONFIG cannot be read as YAML: ${told}`]);
  });

  test("that is something else altogether is not quoted", () => {
    const { faults, message } = readFile("root:hunter2:0");
    expect(faults).toEqual(["the file must be an object of issuers"]);
    expect(message).not.toContain("hunter2");
  });

  test.each([
    ["is not there", "none.yaml", "cannot be read: there is no such file"],
    ["is below a file", "file/none.yaml", "cannot be read: there is no such file"],
    ["is a folder", "folder", "is not a file"],
    ["is a pipe that nobody writes into", "pipe", "is not a file"],
    ["is a device without end", "/dev/zero", "is not a file"],
    ["is not UTF-8", "latin1", "is not text in UTF-8"],
    ["leads in a circle", "loop", "cannot be read: ELOOP"],
  ])("that %s is a fault that says so", (_what, name, told) => {
    writeFileSync(join(folder, "file"), "");
    mkdirSync(join(folder, "folder"));
    execFileSync("mkfifo", [join(folder, "pipe")]);
    writeFileSync(join(folder, "latin1"), Buffer.from("issuers: \xe9", "latin1"));
    symlinkSync("loop", join(folder, "loop"));
    expect(problemOf(name.startsWith("/") ? name : join(folder, name))).toEqual(told);
  });

  test("may have 1 MiB and no more", () => {
    const padding = (bytes: number) => `#${"x".repeat(bytes - 1)}`;
    const text = `issuers:${ONE}`;
    const room = 1024 * 1024 - text.length;
    expect(readFile(`${text}${padding(room)}`).faults).toEqual([]);
    expect(readFile(`${text}${padding(room + 1)}`).faults).toEqual([
      "SEKISHO_CONFIG is larger than 1 MiB",
    ]);
  });

  test("does not grow without bound by references to itself", () => {
    const levels = Array.from({ length: 12 }, (_, at) => {
      const below = at === 0 ? "x" : `*a${at - 1}`;
      return `a${at}: &a${at} [${Array.from({ length: 10 }, () => below).join(",")}]`;
    });
    expect(readFile(`${levels.join("\n")}\nissuers: *a11`).faults).toHaveLength(1);
  });

  test("may name 64 issuers", () => {
    const many = (count: number) =>
      Array.from({ length: count }, (_, at) => `${ONE.replace("one", `n${at}`)}    tenants: [a]`);
    expect(readFile(`issuers:${many(64).join("")}`).issuers).toHaveLength(64);
    expect(readFile(`issuers:${many(65).join("")}`).faults).toHaveLength(1);
  });
});
