/**
 * The tree keeps the shape that it is meant to have. What may be imported where is listed here; a
 * new arrow or a new home for a library is a decision, and this is where it is written down.
 */
import { readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join, relative, resolve } from "node:path";

import { describe, expect, test } from "@jest/globals";

import { repositoryRoot } from "../dev/repository.js";

const root = repositoryRoot();

function filesBelow(folder: string): readonly string[] {
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(root, join(entry.parentPath, entry.name)))
    .sort();
}

const code = ["src", "dev", "bench", "test"]
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

const PROGRAMS: readonly string[] = ["authz", "sessions"];

/**
 * The room of a file: its folder below src/, with the folder below that in the two programs; `main`
 * for the file in src/ itself.
 */
function roomOf(path: string): string | undefined {
  const [top, room, ...rest] = path.split("/");
  if (top !== "src" || room === undefined) return undefined;
  if (rest.length === 0) return "main";
  const [below] = rest;
  return rest.length > 1 && PROGRAMS.includes(room) ? `${room}/${below ?? ""}` : room;
}

describe("what is looked at", () => {
  test("is the whole tree, imports included", () => {
    expect(code.length).toBeGreaterThan(100);
    const arrow = { from: "src/main.ts", target: "src/cli/command-line.ts" };
    expect(imports).toContainEqual({ ...arrow, typesOnly: false });
    const counted = imports.filter(({ from }) => from === "src/authz/authz.ts").length;
    const lines = texts.get("src/authz/authz.ts")?.match(/ from "/g) ?? [];
    expect(counted).toBe(lines.length);
  });
});

describe("a library", () => {
  /** Where each may be imported; what is not listed may be imported anywhere. */
  const homes: readonly (readonly [string, RegExp])[] = [
    ["ioredis", /^(src|test\/support)\/.*-redis\.ts$/],
    ["rate-limiter-flexible", /^src\/sessions\/limits\/.*-redis\.ts$/],
    ["@node-rs/argon2", /^src\/sessions\/passwords\/.*-argon2\.ts$/],
    ["lru-cache", /^src\/tokens\/verified-token-cache\.ts$/],
    ["jose", /^(src\/tokens|dev|test\/support|test\/integration\/dev)\//],
    ["@grpc/grpc-js", /^(src\/authz|dev|bench|test)\//],
    ["drizzle-orm", /^(src\/sessions\/.*-(sql|postgres|pglite)\.ts$|test\/)/],
    ["@electric-sql/pglite", /^(src\/sessions\/database|test)\//],
    ["fastify", /^(src\/sessions\/http|test)\//],
    ["grpc-health-check", /^(src\/authz\/check|test)\//],
    ["pino", /^(src\/runtime\/log\.ts$|test\/unit\/)/],
    ["prom-client", /^src\/(authz|sessions)\/[^/]+$/],
    ["pg", /^(src\/sessions\/database|dev|test|bench)\//],
    ["commander", /^src\/cli\//],
    ["yaml", /^(src\/authz|dev|bench|test)\//],
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
      ({ from, target }) => from.startsWith("src/") && /^(test|dev|bench)\//.test(target),
    );
    expect(outside).toEqual([]);
  });
});

test("the environment is read in one place of the programs", () => {
  const readers = code.filter(
    (path) => path.startsWith("src/") && /\bprocess\.env\b/.test(texts.get(path) ?? ""),
  );
  expect(readers).toEqual(["src/cli/command-line.ts"]);
});

describe("the arrows between the rooms of src", () => {
  const allowed: Readonly<Record<string, readonly string[]>> = {
    main: ["cli"],
    runtime: [],
    tokens: ["runtime"],
    "revocation-log": ["runtime", "tokens"],
    "authz/follow": ["runtime", "tokens", "revocation-log"],
    "authz/check": ["runtime", "tokens", "revocation-log", "authz/follow", "generated"],
    authz: ["runtime", "tokens", "revocation-log", "authz/follow", "authz/check"],
    "sessions/database": ["runtime"],
    "sessions/passwords": ["runtime"],
    "sessions/limits": ["revocation-log", "runtime"],
    "sessions/audit": ["runtime", "sessions/database"],
    "sessions/keys": ["runtime", "tokens", "sessions/audit", "sessions/database"],
    "sessions/outbox": [
      "runtime",
      "tokens",
      "revocation-log",
      "sessions/audit",
      "sessions/database",
    ],
    "sessions/login": [
      "runtime",
      "tokens",
      "revocation-log",
      "sessions/audit",
      "sessions/database",
      "sessions/keys",
      "sessions/limits",
      "sessions/outbox",
      "sessions/passwords",
    ],
    "sessions/admin": [
      "tokens",
      "revocation-log",
      "sessions/audit",
      "sessions/database",
      "sessions/login",
      "sessions/outbox",
      "sessions/passwords",
    ],
    "sessions/http": [
      "runtime",
      "tokens",
      "revocation-log",
      "sessions/admin",
      "sessions/audit",
      "sessions/database",
      "sessions/keys",
      "sessions/login",
      "sessions/outbox",
      "sessions/passwords",
    ],
    sessions: [
      "runtime",
      "revocation-log",
      "sessions/admin",
      "sessions/audit",
      "sessions/database",
      "sessions/http",
      "sessions/keys",
      "sessions/limits",
      "sessions/login",
      "sessions/outbox",
      "sessions/passwords",
    ],
    cli: [
      "runtime",
      "tokens",
      "revocation-log",
      "authz",
      "sessions",
      "sessions/database",
      "sessions/outbox",
    ],
  };

  const arrows = imports.flatMap((one) => {
    const [from, to] = [roomOf(one.from), roomOf(one.target)];
    return from === undefined || to === undefined || from === to
      ? []
      : [{ ...one, from, to, path: one.from }];
  });

  test("are those that are listed here, and no other", () => {
    const found: Record<string, Set<string>> = {};
    for (const { from, to } of arrows) (found[from] ??= new Set()).add(to);
    const sorted = (rooms: Iterable<string>): readonly string[] => [...rooms].sort();
    expect(
      Object.fromEntries(Object.entries(found).map(([from, to]) => [from, sorted(to)])),
    ).toEqual(
      Object.fromEntries(
        Object.entries(allowed).flatMap(([from, to]) =>
          to.length === 0 ? [] : [[from, sorted(to)]],
        ),
      ),
    );
  });

  test("lead out of rooms that are listed here", () => {
    const rooms = new Set(code.flatMap((path) => roomOf(path) ?? []));
    expect([...rooms].sort()).toEqual(Object.keys(allowed).sort());
  });

  test("never lead from one program into the other", () => {
    const programOf = (room: string) => room.split("/")[0] ?? "";
    const across = arrows.filter(
      ({ from, to }) =>
        programOf(from) !== programOf(to) &&
        PROGRAMS.includes(programOf(from)) &&
        PROGRAMS.includes(programOf(to)),
    );
    expect(across.map(({ path, target }) => `${path} → ${target}`)).toEqual([]);
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

test("no files form a circle", () => {
  const targets = new Map(code.map((path) => [path, importsOf(path)]));
  const circles: string[] = [];
  const done = new Set<string>();
  const visit = (path: string, way: readonly string[]): void => {
    const at = way.indexOf(path);
    if (at >= 0) circles.push([...way.slice(at), path].join(" → "));
    if (at >= 0 || done.has(path)) return;
    for (const { target } of targets.get(path) ?? []) visit(target, [...way, path]);
    done.add(path);
  };
  for (const path of code) visit(path, []);
  expect(circles).toEqual([]);
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
  const protocols = ["src/authz/follow/follower.ts"];
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
