/** How programs end when nobody reads what they print: the reader has gone, or does not read. */
import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { closeSync, constants, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "@jest/globals";
import { RedisServer } from "../../dev/redis-server.js";
import { repositoryRoot } from "../../dev/repository.js";
import { environmentWithoutSettings } from "../../dev/sekisho-program.js";
import { newKeySecret } from "../../dev/sessions-service.js";
import { waitUntil } from "../../dev/wait-for.js";
import { initLog } from "../support/following.js";

const MAIN = join(repositoryRoot(), "dist", "src", "main.js");
/** What platforms grant. */
const END_WITHIN_MS = 10_000;
const START_MS = 60_000;
/** As many start at once as the machine bears. */
const RUNS = 5;
/** How often the moment is tried: it decides which line meets the closed pipe. */
const BATCHES = 3;

let folder: string;
let redis: RedisServer;
let pipes = 0;
let sockets = 0;
const children: ChildProcess[] = [];
const descriptors = new Set<number>();

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "sekisho-end-"));
  redis = await RedisServer.start();
  await initLog(redis.url);
});
afterEach(() => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
  for (const descriptor of [...descriptors]) close(descriptor);
});
afterAll(async () => {
  await redis.close();
  rmSync(folder, { recursive: true, force: true });
});

function close(descriptor: number): void {
  descriptors.delete(descriptor);
  closeSync(descriptor);
}

/** A pipe's two ends, both in this process. */
function openPipe(): { readonly read: number; readonly write: number } {
  const path = join(folder, `pipe-${++pipes}`);
  spawnSync("mkfifo", [path]);
  const read = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const write = openSync(path, constants.O_WRONLY);
  descriptors.add(read).add(write);
  return { read, write };
}

/** Fills a pipe until it takes no more. Its writers block then, as those of any pipe. */
function fill(read: number): void {
  const writer = openSync(`/proc/self/fd/${read}`, constants.O_WRONLY | constants.O_NONBLOCK);
  try {
    for (;;) writeSync(writer, "x");
  } catch (error) {
    expect(error).toMatchObject({ code: "EAGAIN" });
  } finally {
    closeSync(writer);
  }
}

function run(
  args: readonly string[],
  settings: Readonly<Record<string, string>>,
  output: { readonly out?: number | "pipe"; readonly err?: number },
): ChildProcess {
  const child = spawn(process.execPath, [MAIN, ...args], {
    env: { ...environmentWithoutSettings(process.env), ...settings },
    stdio: ["ignore", output.out ?? "ignore", output.err ?? "ignore"],
  });
  children.push(child);
  return child;
}

interface Program {
  readonly name: string;
  readonly settings: () => Readonly<Record<string, string>>;
  readonly opsSetting: string;
}

const AUTHZ: Program = {
  name: "authz",
  opsSetting: "SEKISHO_OPS_LISTEN",
  settings: () => ({
    SEKISHO_LISTEN: "127.0.0.1:0",
    SEKISHO_REDIS_URL: redis.url,
    SEKISHO_ISSUER: "i",
    SEKISHO_AUDIENCE: "a",
    SEKISHO_JWKS_FILE: join(folder, "none.json"),
  }),
};

const PROGRAMS: readonly Program[] = [
  AUTHZ,
  {
    name: "sessions",
    opsSetting: "SEKISHO_SESSIONS_OPS_LISTEN",
    settings: () => ({
      SEKISHO_SESSIONS_LISTEN: "127.0.0.1:0",
      SEKISHO_REDIS_URL: redis.url,
      SEKISHO_ISSUER: "i",
      SEKISHO_AUDIENCE: "a",
      SEKISHO_SESSIONS_KEY_SECRET: newKeySecret(),
      // Nobody listens there: it goes on without.
      SEKISHO_DATABASE_URL: "postgres://sekisho:secret@127.0.0.1:1/sekisho",
    }),
  },
];

/** Whether there is a server at this Unix socket. */
async function listens(path: string): Promise<boolean> {
  const socket = connect(path);
  const connected = await once(socket, "connect").then(
    () => true,
    () => false,
  );
  socket.destroy();
  return connected;
}

async function started(
  { name, settings, opsSetting }: Program,
  output: { readonly out?: number | "pipe"; readonly err?: number },
): Promise<{ readonly child: ChildProcess; readonly ops: string }> {
  // Nobody else can take it before the child does, or once the child has gone, as with a port.
  const ops = join(folder, `ops-${++sockets}`);
  const child = run([name], { ...settings(), [opsSetting]: `unix:${ops}` }, output);
  await waitUntil(() => listens(ops), { what: `${name} to listen`, timeoutMs: START_MS });
  return { child, ops };
}

/** How it ended after a signal, and whether in time; killed where it did not. */
async function endOf(child: ChildProcess, act: () => void): Promise<object> {
  const beganMs = performance.now();
  const ended = once(child, "exit");
  act();
  const overdue = setTimeout(() => child.kill("SIGKILL"), 2 * END_WITHIN_MS);
  await ended;
  clearTimeout(overdue);
  const inTime = performance.now() - beganMs < END_WITHIN_MS;
  return { code: child.exitCode, signal: child.signalCode, inTime };
}

const ENDED = { code: 0, signal: null, inTime: true };
const inRuns = <T>(act: () => Promise<T>): Promise<T[]> =>
  Promise.all(Array.from({ length: RUNS }, act));

describe.each(PROGRAMS)("sekisho $name ends in time after SIGTERM", (program) => {
  test("whose standard output loses its reader in the same moment", async () => {
    // Without Redis there is more to tell while it ends.
    const settings = () => ({ ...program.settings(), SEKISHO_REDIS_URL: "redis://127.0.0.1:1" });
    for (let batch = 0; batch < BATCHES; batch += 1) {
      const ends = await inRuns(async () => {
        const { read, write } = openPipe();
        const { child, ops } = await started({ ...program, settings }, { out: write });
        close(write);
        const end = await endOf(child, () => {
          child.kill("SIGTERM");
          close(read);
        });
        return { ...end, listens: await listens(ops) };
      });
      expect(ends).toEqual(ends.map(() => ({ ...ENDED, listens: false })));
    }
  });

  test.each(["out", "err"] as const)("whose standard %s is full and never read", async (name) => {
    const ends = await inRuns(async () => {
      const { read, write } = openPipe();
      fill(read);
      const { child, ops } = await started(program, { [name]: write });
      const end = await endOf(child, () => child.kill("SIGTERM"));
      return { ...end, listens: await listens(ops) };
    });
    expect(ends).toEqual(ends.map(() => ({ ...ENDED, listens: false })));
  });

  test("that cannot start says so with its exit code, though nobody reads why", async () => {
    const { read, write } = openPipe();
    fill(read);
    const taken = redis.url.slice(redis.url.lastIndexOf(":") + 1).replace(/\D.*$/, "");
    const settings = { ...program.settings(), [program.opsSetting]: `127.0.0.1:${taken}` };
    const child = run([program.name], settings, { err: write });
    expect(await endOf(child, () => undefined)).toEqual({ ...ENDED, code: 2 });
  });
});

test("a command's exit code says what became of it, though the reader of its output has gone", async () => {
  const args = ["revoke", "session", "--tenant", "t", "--session", "s"];
  const { read, write } = openPipe();
  close(read);
  const child = run(args, { SEKISHO_REDIS_URL: redis.url }, { out: write });
  expect(await endOf(child, () => undefined)).toEqual(ENDED);
});

async function untilSaid({ stdout }: ChildProcess, message: string): Promise<void> {
  if (stdout === null) throw new Error("its output is not read");
  let said = "";
  stdout.on("data", (chunk: Buffer) => (said += chunk.toString()));
  await waitUntil(() => said.includes(message), { what: message, timeoutMs: START_MS });
}

test("a second SIGTERM ends the sidecar at once, though Redis hangs", async () => {
  redis.pause();
  try {
    const { child } = await started(AUTHZ, { out: "pipe" });
    // Two that come at once count as one.
    const closing = untilSaid(child, "closing");
    child.kill("SIGTERM");
    await closing;
    const end = await endOf(child, () => child.kill("SIGTERM"));
    expect(end).toEqual({ code: 1, signal: null, inTime: true });
  } finally {
    redis.resume();
  }
});
