import { execFileSync } from "node:child_process";
import { readFileSync, readdirSync } from "node:fs";

/** The processes that a process has started itself, those included that wait to be collected. */
export function childrenOf(parent: number): readonly number[] {
  const all = process.platform === "linux" ? fromProc() : fromPs();
  return all.filter(({ ppid }) => ppid === parent).map(({ pid }) => pid);
}

interface Kinship {
  readonly pid: number;
  readonly ppid: number;
}

/** A bare Debian has no ps. */
function fromProc(): readonly Kinship[] {
  const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  return pids.flatMap((pid) => {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
      // The name, in parentheses, may hold spaces and parentheses; state and parent follow.
      const [, ppid] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      return [{ pid: Number(pid), ppid: Number(ppid) }];
    } catch {
      // It has ended meanwhile.
      return [];
    }
  });
}

function fromPs(): readonly Kinship[] {
  const lines = execFileSync("ps", ["-A", "-o", "pid=,ppid="], { encoding: "utf8" }).split("\n");
  return lines.map((line) => {
    const [pid, ppid] = line.trim().split(/\s+/);
    return { pid: Number(pid), ppid: Number(ppid) };
  });
}
