/** Which processor cores the processes of a benchmark may use (Linux, with util-linux's taskset). */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";

import { childrenOf } from "../../dev/process-children.js";

export interface Cores {
  /** The one of what is measured. */
  readonly measured: number;
  /** All others. */
  readonly others: readonly number[];
}

/** undefined: there is one core only, or nothing to choose it with. */
export function divideCores(): Cores | undefined {
  try {
    const status = readFileSync("/proc/self/status", "utf8");
    const list = /^Cpus_allowed_list:\s*(\S+)$/mu.exec(status)?.[1] ?? "";
    const [measured, ...others] = readCoreList(list);
    execFileSync("taskset", ["--version"], { stdio: "ignore" });
    return measured === undefined || others.length === 0 ? undefined : { measured, others };
  } catch {
    return undefined;
  }
}

/** As the kernel writes it: `0-3,8`. */
export function readCoreList(list: string): readonly number[] {
  const ranges = list.matchAll(/(?<first>\d+)(?:-(?<last>\d+))?/gu);
  return [...ranges].flatMap(({ groups }) => {
    const first = Number(groups?.["first"]);
    const last = Number(groups?.["last"] ?? first);
    return Array.from({ length: last - first + 1 }, (_, index) => first + index);
  });
}

/** All threads of a process, of its children, and of those that they start from now on. */
export function pin(pid: number | undefined, cores: readonly number[]): void {
  if (pid === undefined) return;
  for (const one of [pid, ...childrenOf(pid)]) {
    execFileSync("taskset", ["-a", "-c", "-p", cores.join(","), String(one)], { stdio: "ignore" });
  }
}
