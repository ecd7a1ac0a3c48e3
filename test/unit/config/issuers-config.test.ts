import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readIssuers } from "../../../src/config/issuers-config.js";
import type { ConfigFault } from "../../../src/config/read-variables.js";
import { DEFAULT_CLAIM_NAMES } from "../../../src/tokens/issuer.js";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "sekisho-config-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** What a file with this text gives, with the file's own path left out. */
function readFile(text: string, env: Record<string, string> = {}) {
  const path = join(folder, "issuers.yaml");
  writeFileSync(path, text);
  const faults: ConfigFault[] = [];
  const issuers = readIssuers({ ...env, SEKISHO_CONFIG: path }, faults);
  return {
    issuers,
    faults: faults.map(({ where, problem }) => `${where.replace(`${path}: `, "")} ${problem}`),
  };
}

const ONE = `
  - issuer: https://one.example
    audience: api
    jwks_url: https://one.example/jwks.json
`;

describe("a file of issuers", () => {
  test("gives a sole issuer its defaults", () => {
    expect(readFile(`issuers:${ONE}`)).toEqual({
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
        `${name} describes a sole issuer, but SEKISHO_CONFIG names a file with all of them`,
      ]);
      expect(readFile(`issuers:${ONE}`, { [name]: "" }).faults).toEqual([]);
    }
    const faults: ConfigFault[] = [];
    readIssuers({ ...sole, SEKISHO_CONFIG: "/nowhere" }, faults);
    expect(JSON.stringify(faults)).not.toContain("hunter2");
  });

  test("needs tenants where there is more than one issuer", () => {
    const two = ONE.replaceAll("one", "two");
    expect(readFile(`issuers:${ONE}${two}`).faults).toEqual([
      "issuers[0].tenants is needed where there is more than one issuer: whom it may speak for",
      "issuers[1].tenants is needed where there is more than one issuer: whom it may speak for",
    ]);
    expect(readFile(`issuers:${ONE}    tenants: [a]${two}`).faults).toEqual([
      "issuers[1].tenants is needed where there is more than one issuer: whom it may speak for",
    ]);
  });

  test("holds each issuer once", () => {
    const bound = `${ONE}    tenants: [a]`;
    expect(readFile(`issuers:${bound}${bound}`).faults).toEqual([
      "issuers[1].issuer stands twice: one entry for each issuer",
    ]);
  });

  test.each([
    ["no list", "issuers: 7", ["issuers "]],
    ["an empty list", "issuers: []", ["issuers "]],
    ["nothing", "", ["the file "]],
    ["a list at the top", "- a", ["the file "]],
    ["another key beside it", `other: 1\nissuers:${ONE}`, ["the file "]],
    ["an issuer that is no object", "issuers: [x]", ["issuers[0] "]],
    ["an unknown member", `issuers:${ONE}    tenant: [a]`, ["issuers[0] "]],
    ["no audience", `issuers:${ONE.replace("audience", "typ")}`, ["issuers[0].audience "]],
    ["an empty audience", `issuers:${ONE.replace("api", '""')}`, ["issuers[0].audience "]],
    ["a number as issuer", `issuers:${ONE.replace(/https:\S+/, "7")}`, ["issuers[0].issuer "]],
    ["no place of keys", `issuers:${ONE.replace(/jwks_url.*/, "")}`, ["issuers[0] needs either"]],
    ["two places of keys", `issuers:${ONE}    jwks_file: k`, ["issuers[0] needs either"]],
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
    ["an unknown claim", `issuers:${ONE}    claims: { users: x }`, ["issuers[0].claims "]],
  ])("with %s is a fault that names its place", (_what, text, places) => {
    const { issuers, faults } = readFile(text);
    expect(issuers).toEqual([]);
    expect(faults).toHaveLength(places.length);
    faults.forEach((fault, at) => expect(fault).toContain(places[at]));
    faults.forEach((fault) => expect(fault).not.toContain("\n"));
  });

  test("has all its faults told at once", () => {
    const { faults } = readFile("issuers:\n  - { issuer: a, jwks_file: b }\n  - { issuer: c }");
    expect(faults.map((fault) => fault.split(" ")[0])).toEqual(
      expect.arrayContaining(["issuers[0].audience", "issuers[1].audience"]),
    );
  });

  test("that is no YAML is a fault in one line that says where", () => {
    const { faults } = readFile("issuers: [\n  a: b: c");
    expect(faults).toHaveLength(1);
    expect(faults[0]).toMatch(/^SEKISHO_CONFIG cannot be read as YAML: .* at line 2, column \d+/);
    expect(faults[0]).not.toContain("\n");
  });

  test("that is not there is a fault that says so", () => {
    const faults: ConfigFault[] = [];
    expect(readIssuers({ SEKISHO_CONFIG: join(folder, "none.yaml") }, faults)).toEqual([]);
    expect(faults.map(({ where, problem }) => `${where} ${problem}`)).toEqual([
      expect.stringMatching(/^SEKISHO_CONFIG cannot be read as YAML: .*ENOENT/),
    ]);
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
