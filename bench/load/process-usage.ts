/** What a process uses, as the Linux kernel tells it; elsewhere nothing is told. */
import { readFileSync } from "node:fs";

import { childrenOf } from "../../deploy/local/process-children.js";

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

/** Seconds of processor time that a process and its children have taken so far. */
export function processorSeconds(pid: number | undefined): number | undefined {
  if (pid === undefined || process.platform !== "linux") return undefined;
  const seconds = [pid, ...childrenOf(pid)].flatMap((one) => readTicks(one) ?? []);
  return seconds.reduce((sum, ticks) => sum + ticks, 0) / TICKS_PER_S;
}

function readTicks(pid: number): number | undefined {
  const stat = readProc(pid, "stat");
  if (stat === undefined) return undefined;
  // The name, in parentheses, may hold spaces; utime and stime are the 14th and 15th fields.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return Number(fields[11]) + Number(fields[12]);
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
