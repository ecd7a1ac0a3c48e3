import { readFile, readdir } from "node:fs/promises";
import { setTimeout } from "node:timers/promises";

/** How often the group is looked at while it ends. */
const POLL_MS = 25;

/** Longest wait for the kernel to take a process away after SIGKILL. */
const KILLED_MS = 2000;

/**
 * Sends a signal to every process of a group. A group that has ended already is no fault.
 * @param {number} group
 * @param {NodeJS.Signals} signal
 */
export function signalGroup(group, signal) {
  try {
    process.kill(-group, signal);
  } catch (error) {
    if (error.code !== "ESRCH") throw error;
  }
}

/**
 * Ends every process that is left in a group: SIGTERM, then SIGKILL for what is still there.
 * @param {number} group
 * @param {object} options
 * @param {number} options.termMs how long SIGTERM is given
 */
export async function endGroup(group, { termMs }) {
  for (const [signal, waitMs] of [
    ["SIGTERM", termMs],
    ["SIGKILL", KILLED_MS],
  ]) {
    const deadline = performance.now() + waitMs;
    if (await isEmpty(group)) return;
    signalGroup(group, signal);
    while (performance.now() < deadline && !(await isEmpty(group))) await setTimeout(POLL_MS);
  }
}

/**
 * Whether no process of the group runs any more. In a container whose first process does not collect
 * its dead, these stay in their group for ever and still take signals, so on Linux the process
 * table is read; elsewhere signal 0 tells.
 */
async function isEmpty(group) {
  if (process.platform !== "linux") return !takesSignals(group);
  const ids = (await readdir("/proc")).filter((name) => /^[0-9]+$/.test(name));
  const stats = await Promise.all(
    ids.map((id) => readFile(`/proc/${id}/stat`, "utf8").catch(() => "")),
  );
  return !stats.some((stat) => {
    // proc(5): "pid (name) state parent group …", where the name may hold any character.
    const [state, , processGroup] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return Number(processGroup) === group && state !== "Z" && state !== "X";
  });
}

function takesSignals(group) {
  try {
    process.kill(-group, 0);
    return true;
  } catch {
    return false;
  }
}
