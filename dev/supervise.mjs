import { spawn } from "node:child_process";
import { rmSync } from "node:fs";
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { endGroup, signalGroup } from "./process-group.mjs";
import { SetUpFault } from "./set-up-fault.mjs";
import { exitCodeOfSignal, listenForStop } from "./stop-signal.mjs";

/*
 * Runs one program so that it leaves nothing behind: no process, no file.
 *
 *   running    a stop signal is passed on to the program                        -> stopping
 *              the program ends                                                 -> ending
 *   stopping   a second stop signal, or the grace time is over: SIGKILL for all -> ending
 *              the program ends in order                                        -> ending
 *   ending     what it left in its process group gets SIGTERM, then SIGKILL; then the temporary
 *              folder is removed; then its exit code is ours
 *
 * The program leads a process group (and session) of its own, so the terminal's Ctrl-C reaches only
 * us: its own children, Redis and Envoy among them, go down in the order that it chooses. What it
 * starts stays in that group unless it asks for another. Its TMPDIR is a folder made for this
 * run. Only a SIGKILL of this process itself leaves both behind.
 */

const TIMEOUTS = {
  /** How long the program may take to stop in order. */
  graceMs: 15_000,
  /** How long processes that it left behind may take after SIGTERM. */
  leftBehindMs: 3000,
  /**
   * One Ctrl-C arrives twice under `npm run`: from the terminal, and passed on by npm. Only a signal
   * later than this is a second Ctrl-C.
   */
  sameStopMs: 500,
};

/**
 * Runs a program to its end.
 * @param {string} command
 * @param {string[]} args
 * @param {object} options
 * @param {NodeJS.ProcessEnv} options.env
 * @param {string} options.cwd
 * @param {NodeJS.WriteStream} options.notices for the message that it is stopping
 * @param {Partial<typeof TIMEOUTS>} [options.timeouts]
 * @returns {Promise<number>} the program's exit code; 128 + n if signal n ended it
 */
export async function supervise(command, args, { env, cwd, notices, timeouts = {} }) {
  const { graceMs, leftBehindMs, sameStopMs } = { ...TIMEOUTS, ...timeouts };
  // Short, because the path of a Unix socket in it may have 107 bytes.
  const folder = await mkdtemp(join(tmpdir(), "sekisho-"));
  // PostgreSQL refuses to run as root; the user that it runs as then has to get through to its own.
  if (process.getuid?.() === 0) await chmod(folder, 0o711);
  let group;
  const cleanAtOnce = () => {
    if (group !== undefined) signalGroup(group, "SIGKILL");
    rmSync(folder, { recursive: true, force: true });
  };
  // Has an effect only if this process itself fails.
  process.once("exit", cleanAtOnce);
  try {
    const program = spawn(command, args, {
      cwd,
      env: { ...env, TMPDIR: folder },
      stdio: "inherit",
      detached: true,
    });
    group = program.pid;
    return await endOf(program, { notices, graceMs, sameStopMs });
  } finally {
    if (group !== undefined) await endGroup(group, { termMs: leftBehindMs });
    await rm(folder, { recursive: true, force: true, maxRetries: 5 });
    process.off("exit", cleanAtOnce);
  }
}

/** Resolves when the program has ended, and passes stop signals on until then. */
async function endOf(program, { notices, graceMs, sameStopMs }) {
  let stoppedAt;
  let graceTimer;
  const kill = () => signalGroup(program.pid, "SIGKILL");
  const unlisten = listenForStop((signal) => {
    if (stoppedAt === undefined) {
      stoppedAt = performance.now();
      graceTimer = setTimeout(kill, graceMs);
      notices.write(`\nstopping (${signal}); once more to stop at once\n`);
      program.kill(signal);
    } else if (performance.now() - stoppedAt > sameStopMs) {
      kill();
    }
  });
  try {
    return await new Promise((resolve, reject) => {
      program.once("exit", (code, signal) => resolve(code ?? exitCodeOfSignal(signal)));
      program.once("error", ({ message }) => {
        if (program.pid === undefined) reject(new SetUpFault(`${program.spawnfile}: ${message}`));
      });
    });
  } finally {
    clearTimeout(graceTimer);
    unlisten();
  }
}
