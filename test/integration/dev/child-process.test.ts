import { afterEach, describe, expect, test } from "@jest/globals";

import { StartedProcess, parseJsonLine } from "../../../dev/child-process.js";
import { waitUntil } from "../../../dev/wait-for.js";

const bounds = { what: "it was there", timeoutMs: 30_000 };
const started: StartedProcess[] = [];

function run(script: string): StartedProcess {
  const program = new StartedProcess({ name: "script", file: "sh", args: ["-c", script] });
  started.push(program);
  return program;
}
const linesLike = (text: string) => (line: string) => (line.includes(text) ? line : undefined);

afterEach(async () => {
  await Promise.all(started.splice(0).map((program) => program.kill()));
});

describe("a started program", () => {
  test("is waited for until it prints a line, on either stream", async () => {
    const program = run("echo one; echo two >&2; exec sleep 60");
    await expect(program.waitForLine(linesLike("one"), bounds)).resolves.toBe("one");
    await expect(program.waitForLine(linesLike("two"), bounds)).resolves.toBe("two");
  });

  test("that ends before the line comes is an error with what it said last", async () => {
    const program = run("echo no such thing; exit 3");
    await expect(program.waitForLine(linesLike("ready"), bounds)).rejects.toThrow(
      "script: ended (exit code 3) before it was there\n  | no such thing",
    );
  });

  test("that takes too long is an error with what it said last", async () => {
    const program = run("echo thinking; exec sleep 60");
    await program.waitForLine(linesLike("thinking"), bounds);
    await expect(
      program.waitForLine(linesLike("ready"), { what: "a word", timeoutMs: 20 }),
    ).rejects.toThrow("script: waited 20 ms for a word\n  | thinking");
  });

  test("that cannot be started is an error that says why", async () => {
    const program = new StartedProcess({ name: "nothing", file: "/no/such/program", args: [] });
    await expect(program.waitForLine(linesLike("ready"), bounds)).rejects.toThrow("ENOENT");
    expect(program.running).toBe(false);
  });

  test("is remembered by its last 200 lines", async () => {
    const program = run("seq 1 250");
    await program.exited;
    expect(program.lines).toHaveLength(200);
    expect(program.lines[0]).toBe("51");
    expect(program.lines.at(-1)).toBe("250");
  });

  test("ends by SIGTERM when it is stopped, also while it is paused", async () => {
    const program = run("trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.01; done");
    await program.waitForLine(linesLike("up"), bounds);
    program.pause();
    expect(await program.stop()).toEqual({ code: 0, signal: null });
    expect(program.lines).toContain("bye");
  });

  test("is killed when it does not end in time", async () => {
    const program = run("trap '' TERM; echo up; while :; do sleep 0.01; done");
    await program.waitForLine(linesLike("up"), bounds);
    expect(await program.stop(50)).toEqual({ code: null, signal: "SIGKILL" });
  });

  test("does nothing while it is paused and goes on when it is resumed", async () => {
    const program = run("while :; do echo tick; sleep 0.01; done");
    let ticks = 0;
    program.onLine(() => (ticks += 1));
    await waitUntil(() => ticks > 2, { what: "ticks", timeoutMs: 30_000 });
    program.pause();
    await waitUntil(async () => (await stateOf(program)) === "T", { ...bounds });
    program.resume();
    const before = ticks;
    await waitUntil(() => ticks > before + 2, { what: "ticks again", timeoutMs: 30_000 });
  });
});

describe("a line", () => {
  test("is read as JSON where it is an object", () => {
    expect(parseJsonLine('{"msg":"listening"}')).toEqual({ msg: "listening" });
  });

  test.each(["", "listening", '{"msg":', "7"])("that is %j is none", (line) => {
    expect(parseJsonLine(line)).toBeUndefined();
  });
});

/** The state letter of a process (proc(5)): T is stopped by a signal. */
async function stateOf(program: StartedProcess): Promise<string | undefined> {
  const ps = new StartedProcess({
    name: "ps",
    file: "sh",
    args: ["-c", `sed 's/.*) //' /proc/${program.pid ?? 0}/stat`],
  });
  await ps.exited;
  return ps.lines[0]?.slice(0, 1);
}
