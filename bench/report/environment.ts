/** Where a benchmark ran: machine, commit, versions. No host name and no path is among them. */
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { availableParallelism, cpus, loadavg, totalmem } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

import { z } from "zod";

import type { PostgresServer } from "../../dev/postgres-server.js";
import { repositoryRoot } from "../../dev/repository.js";
import { redisConnections } from "../../src/revocation-log/connection-redis.js";
import type { BenchmarkResult } from "./result.js";

const COMMAND_TIMEOUT_MS = 5_000;
const packageSchema = z.object({ version: z.string() });

export function describeMachine(): BenchmarkResult["machine"] {
  return {
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    cores: availableParallelism(),
    memoryGiB: Math.round((totalmem() / 2 ** 30) * 10) / 10,
    platform: `${process.platform} ${process.arch}`,
    loadAverageBefore: loadavg()[0] ?? 0,
  };
}

/** What a recorded run changes itself says nothing about what was measured. */
const RESULTS = [":/", ":(exclude,top)bench/results", ":(exclude,top)README.md"];

/** The commit, and whether the files that it tracks have been changed since. */
export async function describeCommit(): Promise<string> {
  const git = async (...args: string[]): Promise<string> => {
    const options = { cwd: repositoryRoot(), timeout: COMMAND_TIMEOUT_MS };
    return (await promisify(execFile)("git", args, options)).stdout.trim();
  };
  try {
    const commit = await git("rev-parse", "--short=12", "HEAD");
    const changes = await git("status", "--porcelain", "--untracked-files=no", "--", ...RESULTS);
    return changes === "" ? commit : `${commit} with uncommitted changes`;
  } catch {
    return "unknown";
  }
}

export async function sekishoVersion(): Promise<string> {
  const text = await readFile(join(repositoryRoot(), "package.json"), "utf8");
  const content: unknown = JSON.parse(text);
  return packageSchema.parse(content).version;
}

export async function redisVersion(url: string): Promise<string> {
  const connection = await redisConnections({ url })();
  try {
    const asking = connection.client.info("server");
    const info = await connection.within(COMMAND_TIMEOUT_MS, "INFO", asking);
    return /^redis_version:(\S+)/mu.exec(info)?.[1] ?? "unknown";
  } finally {
    connection.close();
  }
}

export async function postgresVersion(server: PostgresServer): Promise<string> {
  const [row] = await server.query<{ server_version: string }>("SHOW server_version");
  return row?.server_version.split(" ")[0] ?? "unknown";
}
