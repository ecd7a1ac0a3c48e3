/**
 * The tree keeps the shape that it is meant to have. What may be imported where is listed here; a
 * new arrow or a new home for a library is a decision, and this is where it is written down.
 */
import { readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join, relative, resolve } from "node:path";

import { describe, expect, test } from "@jest/globals";

import { repositoryRoot } from "../deploy/local/repository.js";

const root = repositoryRoot();

function filesBelow(folder: string): readonly string[] {
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(root, join(entry.parentPath, entry.name)))
    .sort();
}

const code = ["src", "deploy", "bench", "test"]
  .flatMap(filesBelow)
  .filter((path) => /\.(ts|mjs|js)$/.test(path) && !path.startsWith("src/generated/"));

const texts = new Map(code.map((path) => [path, readFileSync(join(root, path), "utf8")]));

/** Everything but comments and the insides of texts, which may speak of what code may not do. */
function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/^\s*\/\/.*$/gm, "");
}

interface Import {
  readonly from: string;
  /** The file, from the top folder on, or the package. */
  readonly target: string;
  readonly typesOnly: boolean;
}

const STATEMENT =
  /^(?:import|export)\s+(type\s+)?(?:[\w*\s{},$]+?\s+from\s+)?"([^"]+)";|\bimport\(\s*"([^"]+)"\s*\)/gm;

function importsOf(path: string): readonly Import[] {
  const text = withoutComments(texts.get(path) ?? "");
  return [...text.matchAll(STATEMENT)].map(([, type, named, dynamic]) => {
    const specifier = named ?? dynamic ?? "";
    const target = specifier.startsWith(".")
      ? relative(root, resolve(root, dirname(path), specifier)).replace(/\.js$/, ".ts")
      : packageOf(specifier);
    return { from: path, target, typesOnly: type !== undefined };
  });
}

function packageOf(specifier: string): string {
  if (specifier.startsWith("node:")) return specifier;
  return specifier
    .split("/")
    .slice(0, specifier.startsWith("@") ? 2 : 1)
    .join("/");
}

const imports = code.flatMap(importsOf);

/** The folder below src/ in which a file stands; `main` for the one that stands in src/ itself. */
function folderOf(path: string): string | undefined {
  const [top, folder, file] = path.split("/");
  if (top !== "src" || folder === undefined) return undefined;
  return file === undefined ? "main" : folder;
}

describe("what is looked at", () => {
  test("is the whole tree, imports included", () => {
    expect(code.length).toBeGreaterThan(100);
    const arrow = { from: "src/main.ts", target: "src/programs/command-line.ts" };
    expect(imports).toContainEqual({ ...arrow, typesOnly: false });
    const counted = imports.filter(({ from }) => from === "src/programs/authz.ts").length;
    const lines = texts.get("src/programs/authz.ts")?.match(/ from "/g) ?? [];
    expect(counted).toBe(lines.length);
  });
});

describe("a library", () => {
  /** Where each may be imported; what is not listed may be imported anywhere. */
  const homes: readonly (readonly [string, RegExp])[] = [
    ["ioredis", /^(src|test\/support)\/.*-redis\.ts$/],
    ["rate-limiter-flexible", /^src\/limits\/.*-redis\.ts$/],
    ["@node-rs/argon2", /^src\/passwords\/.*-argon2\.ts$/],
    ["lru-cache", /^src\/(.*-lru|tokens\/verified-token-cache)\.ts$/],
    ["jose", /^(src\/tokens|deploy\/local|test\/support|test\/unit\/local)\//],
    ["@grpc/grpc-js", /^(src\/(check|programs)|deploy|bench|test)\//],
    ["drizzle-orm", /^(src\/.*-(sql|postgres|pglite)\.ts$|test\/)/],
    ["@electric-sql/pglite", /^(src\/database|test)\/.*$/],
    ["fastify", /^(src\/http|test)\//],
    ["grpc-health-check", /^(src\/check|test)\//],
    ["pino", /^(src\/ops\/log\.ts$|test\/unit\/ops\/)/],
    ["prom-client", /^src\/ops\//],
    ["pg", /^(src\/database|deploy\/local|test|bench)\//],
    ["commander", /^src\/programs\//],
    ["yaml", /^(src\/config|deploy\/local|bench|test)\//],
    ["@grpc/proto-loader", /^(bench|test)\//],
    ["fast-check", /^test\//],
    ["@jest/globals", /^test\//],
  ];

  test.each(homes)("%s is imported only where it belongs", (library, home) => {
    const importers = imports.filter(({ target }) => target === library).map(({ from }) => from);
    expect(importers.length).toBeGreaterThan(0);
    expect(importers.filter((path) => !home.test(path))).toEqual([]);
  });

  test("of tests and demo is not imported by the programs", () => {
    const outside = imports.filter(
      ({ from, target }) => from.startsWith("src/") && /^(test|deploy|bench)\//.test(target),
    );
    expect(outside).toEqual([]);
  });
});

test("the environment is read in one place of the programs", () => {
  const readers = code.filter(
    (path) => path.startsWith("src/") && /\bprocess\.env\b/.test(texts.get(path) ?? ""),
  );
  expect(readers).toEqual(["src/programs/command-line.ts"]);
});

describe("the arrows between the folders of src", () => {
  const allowed: Readonly<Record<string, readonly string[]>> = {
    main: ["programs"],
    clock: [],
    identity: [],
    listen: [],
    passwords: [],
    limits: ["clock"],
    tokens: ["clock", "identity"],
    revocation: ["clock", "identity", "tokens"],
    check: ["clock", "identity", "listen", "tokens", "revocation", "generated"],
    database: [],
    audit: ["clock", "database"],
    outbox: ["clock", "identity", "database", "audit", "revocation"],
    keys: ["clock", "tokens", "database", "audit"],
    sessions: [
      "clock",
      "identity",
      "tokens",
      "database",
      "audit",
      "outbox",
      "keys",
      "passwords",
      "limits",
    ],
    admin: ["clock", "identity", "database", "audit", "outbox", "sessions", "passwords"],
    http: [
      "clock",
      "identity",
      "listen",
      "tokens",
      "revocation",
      "database",
      "audit",
      "outbox",
      "keys",
      "sessions",
      "admin",
      "passwords",
      "limits",
    ],
    config: ["identity", "keys", "listen", "tokens", "revocation"],
    ops: [
      "clock",
      "identity",
      "listen",
      "tokens",
      "revocation",
      "check",
      "config",
      "generated",
      "database",
      "audit",
      "outbox",
      "keys",
      "sessions",
      "limits",
    ],
    programs: [
      "clock",
      "identity",
      "listen",
      "tokens",
      "revocation",
      "check",
      "config",
      "ops",
      "database",
      "audit",
      "outbox",
      "keys",
      "sessions",
      "admin",
      "http",
      "passwords",
      "limits",
    ],
  };

  const arrows = imports.flatMap((one) => {
    const [from, to] = [folderOf(one.from), folderOf(one.target)];
    return from === undefined || to === undefined || from === to
      ? []
      : [{ ...one, from, to, path: one.from }];
  });

  test("lead out of folders that are listed here", () => {
    const folders = new Set(code.flatMap((path) => folderOf(path) ?? []));
    expect([...folders].sort()).toEqual(Object.keys(allowed).sort());
  });

  test("lead only where they may", () => {
    const astray = arrows.filter(({ from, to }) => allowed[from]?.includes(to) !== true);
    expect(astray.map(({ path, target }) => `${path} → ${target}`)).toEqual([]);
  });

  test("lead from revocation into tokens only to what a token is", () => {
    const targets = arrows
      .filter(({ from, to }) => from === "revocation" && to === "tokens")
      .map(({ target, typesOnly }) => `${target} ${typesOnly ? "types" : "code"}`);
    expect(new Set(targets)).toEqual(new Set(["src/tokens/access-token.ts types"]));
  });

  test("lead from config only to lists and sums, never to what does something", () => {
    const targets = arrows
      .filter(({ from, typesOnly }) => from === "config" && !typesOnly)
      .map(({ target }) => target);
    expect([...new Set(targets)].sort()).toEqual([
      "src/identity/identifier.ts",
      "src/keys/key-rotation.ts",
      "src/listen/listen-address.ts",
      "src/revocation/horizon.ts",
      "src/revocation/on-stale.ts",
      "src/tokens/issuer.ts",
    ]);
  });

  test("never lead back to where they came from", () => {
    const reachable = (from: string, seen: Set<string>): Set<string> => {
      for (const { to } of arrows.filter((arrow) => arrow.from === from)) {
        if (seen.has(to)) continue;
        seen.add(to);
        reachable(to, seen);
      }
      return seen;
    };
    const circular = Object.keys(allowed).filter((name) => reachable(name, new Set()).has(name));
    expect(circular).toEqual([]);
  });
});

describe("names", () => {
  const FORBIDDEN =
    /^(index|utils?|helpers?|common|libs?|types?|interfaces?|services?|managers?|misc|shared)(\.|$)/;

  test("tell what is in a file or folder", () => {
    const parts = code.flatMap((path) => path.split("/").map((part) => [path, part] as const));
    expect(parts.filter(([, part]) => FORBIDDEN.test(part)).map(([path]) => path)).toEqual([]);
  });

  test("of files are kebab-case", () => {
    const odd = code.filter(
      (path) => !/^[a-z0-9]+(-[a-z0-9]+)*(\.test)?\.(ts|mjs)$/.test(basename(path)),
    );
    expect(odd).toEqual([]);
  });
});

test("no file is longer than can be read at once", () => {
  /** One protocol, told in one piece. */
  const protocols = ["src/revocation/follower.ts"];
  const linesMax = (path: string): number => {
    if (path.startsWith("test/")) return 500;
    return protocols.includes(path) ? 450 : 300;
  };
  const long = code.flatMap((path) => {
    const lines = (texts.get(path) ?? "").split("\n").length - 1;
    return lines > linesMax(path) ? [`${path}: ${lines}`] : [];
  });
  expect(long).toEqual([]);
});

describe("code", () => {
  const found = (pattern: RegExp, below: string) =>
    code.filter(
      (path) =>
        path.startsWith(below) &&
        path !== "test/architecture.test.ts" &&
        pattern.test(withoutComments(texts.get(path) ?? "")),
    );

  test("switches no rule off", () => {
    const written = code.filter((path) => path !== "test/architecture.test.ts");
    const off = /eslint-disable|@ts-(ignore|expect-error|nocheck)|prettier-ignore/;
    expect(written.filter((path) => off.test(texts.get(path) ?? ""))).toEqual([]);
  });

  test("of tests skips none of them and singles none out", () => {
    const skipping =
      /\b(test|it|describe)\.(skip|only|todo|failing)\b|\b(xtest|xit|xdescribe|fit|fdescribe)\(/;
    expect(found(skipping, "test/")).toEqual([]);
  });

  test("of tests replaces no module and no clock", () => {
    expect(
      found(/\bjest\s*\.\s*(mock|unstable_mockModule|useFakeTimers|spyOn)\b/, "test/"),
    ).toEqual([]);
  });

  test("of tests waits for a state, never for a time", () => {
    const sleeping = /timers\/promises|setTimeout\(\s*(resolve|done|\(\)\s*=>\s*resolve)|\bsleep\(/;
    // Two pause between two looks at a state. In one, time that passes is what is tested; the others
    // do something at moments that are drawn by lot.
    const looking = [
      "test/e2e/sessions-killed.test.ts",
      "test/guarantee/failover.test.ts",
      "test/guarantee/two-redis.test.ts",
      "test/integration/local-setup.test.ts",
      "test/support/e2e-poller.ts",
      "test/support/guarantee.ts",
    ];
    expect(found(sleeping, "test/")).toEqual(looking);
  });
});
