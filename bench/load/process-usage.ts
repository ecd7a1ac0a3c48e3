/** What a process uses, as the Linux kernel tells it; elsewhere nothing is told. */
import { readFileSync } from "node:fs";

import { childrenOf } from "../../dev/process-children.js";

/** What /proc counts in, on every Linux that Node.js runs on (USER_HZ). */
const TICKS_PER_S = 100;

export interface Memory {
  readonly residentMB: number;
  /** The most that it ever was. */
  readonly peakMB: number;
}

export function memoryOf(pid: number | undefined): Memory | undefined {
  const status = readProc(pid, "status");
  const residentMB = megabytes(status, "VmRSS");
  const peakMB = megabytes(status, "VmHWM");
  return residentMB === undefined || peakMB === undefined ? undefined : { residentMB, peakMB };
}

/**
 * Seconds of processor time that a process and its children have taken so far, those included that
 * have ended: what they took is counted with their parent then.
 */
export function processorSeconds(pid: number | undefined): number | undefined {
  if (pid === undefined || process.platform !== "linux") return undefined;
  const living = childrenOf(pid).flatMap((one) => readTicks(one)?.own ?? []);
  const { own = 0, ended = 0 } = readTicks(pid) ?? {};
  return living.reduce((sum, ticks) => sum + ticks, own + ended) / TICKS_PER_S;
}

function readTicks(pid: number): { readonly own: number; readonly ended: number } | undefined {
  const stat = readProc(pid, "stat");
  if (stat === undefined) return undefined;
  // The name, in parentheses, may hold spaces. The 14th to 17th fields: utime, stime, and the same
  // of children that have ended.
  const [utime, stime, cutime, cstime] = stat
    .slice(stat.lastIndexOf(")") + 2)
    .split(" ")
    .slice(11, 15)
    .map(Number);
  return {
    own: (utime ?? 0) + (stime ?? 0),
    ended: (cutime ?? 0) + (cstime ?? 0),
  };
}

function readProc(pid: number | undefined, file: string): string | undefined {
  try {
    return pid === undefined ? undefined : readFileSync(`/proc/${pid}/${file}`, "utf8");
  } catch {
    return undefined;
  }
}

function megabytes(status: string | undefined, name: string): number | undefined {
  const kib = new RegExp(`^${name}:\\s*(\\d+) kB$`, "mu").exec(status ?? "")?.[1];
  return kib === undefined ? undefined : (Number(kib) * 1024) / 1e6;
}
