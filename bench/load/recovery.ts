/**
 * How long a node goes on answering 503 once Redis is back with its data: from its first answer to
 * PING to the first check that is allowed again. The log is quiet, and Redis was away for longer than
 * the staleness limit.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as passing } from "node:timers/promises";
import type { Client } from "@grpc/grpc-js";

import { AuthzNode } from "../../dev/authz-node.js";
import type { Closing } from "../../dev/demo/demo-deployment.js";
import { RedisServer, answersPing } from "../../dev/redis-server.js";
import { redisVersion } from "../report/environment.js";
import type { RecoveryCase, RecoveryResult } from "../report/fleet-result.js";
import { recoveryPage, recoveryTable } from "../report/fleet-table.js";
import { AuthzBenchDeployment } from "./authz-bench-deployment.js";
import { runBenchmark, writeResult } from "./benchmark-run.js";
import { checksClient, refusalIn, sendCheck } from "./check-call.js";
import { describeRunHere, readSmallOrRecord, versionsWith } from "./fleet-bench.js";
import type { Progress } from "./progress.js";
import { serve, startNode } from "./sessions-bench-deployment.js";

const LIMIT_MS = 400_000;
const RESTARTS = { full: 20, small: 1 };
const CASES: readonly Omit<RecoveryCase, "ms">[] = [
  { authority: "redis", replicas: 0 },
  { authority: "redis", replicas: 1 },
  { authority: "database", replicas: 0 },
];
const WITHIN_MS = 30_000;
/** How finely moments are seen. */
const LOOK_MS = 1;
/** Allowed without a break for as long: the log is followed, and the database has recorded it. */
const SETTLED_MS = 500;
const APPEND_ONLY = { appendonly: true, args: ["--repl-diskless-sync-delay", "0"] };

export const RECOVERY_USAGE = `usage: npm run bench -- recovery [options]

How long 503 is answered once Redis is back with its data: 20 restarts of each kind.
  --small    one restart of each
  --record   replaces the recorded result`;

/** A node, and a token that it allows. */
interface Checked {
  readonly client: Client;
  readonly token: string;
  readonly node: AuthzNode;
}

/** Returns the exit code. */
export async function recovery(given: readonly string[]): Promise<number> {
  const args = readSmallOrRecord(given);
  if (args.kind === "wrong") {
    process.stderr.write(`${args.message}\n\n${RECOVERY_USAGE}\n`);
    return 2;
  }
  const { small, record } = args;
  return runBenchmark(
    LIMIT_MS,
    (closing, progress) => measure(RESTARTS[small ? "small" : "full"], closing, progress),
    async (result) => {
      process.stdout.write(`\n${recoveryTable(result)}\n`);
      const place = record ? ["bench", "results", "recovery"] : ["dist", "bench-last-recovery"];
      await writeResult(place, result, recoveryPage(result));
      return 0;
    },
  );
}

async function measure(
  restarts: number,
  closing: Closing,
  progress: Progress,
): Promise<RecoveryResult> {
  const here = await describeRunHere();
  const cases: RecoveryCase[] = [];
  let version = "";
  for (const one of CASES) {
    const what = `authority ${one.authority}, ${one.replicas} replicas`;
    progress.doing(what);
    const redis = await closing.keep(RedisServer.start(APPEND_ONLY), (started) => started.close());
    version = await redisVersion(redis.url);
    const checked = await (one.authority === "redis"
      ? withoutService(closing, redis, one.replicas)
      : withService(closing, redis));
    await untilAllowedFor(checked, SETTLED_MS);
    const ms: number[] = [];
    for (let restart = 1; restart <= restarts; restart += 1) {
      ms.push(await restartOnce(redis, checked));
      progress.doing(`${what}: ${restart} of ${restarts}`);
      await untilAllowedFor(checked, SETTLED_MS);
    }
    await checked.node.stop();
    cases.push({ ...one, ms });
    progress.done(`${what}: at most ${Math.round(Math.max(...ms))} ms`);
  }
  return { ...here, versions: await versionsWith(version), cases };
}

async function withoutService(
  closing: Closing,
  redis: RedisServer,
  replicas: number,
): Promise<Checked> {
  const { mint } = await AuthzBenchDeployment.open(closing, redis.url, replicas);
  const options = { nodeId: "recovery", redisUrl: redis.url, mint };
  const node = await closing.keep(AuthzNode.start(options), (started) => started.kill());
  await node.waitReady();
  const token = await mint.mint({ tenant: "calm", user: "ann", session: "calm", epoch: 0 });
  return { client: checksClient(node.listen), token, node };
}

/** The session service restores the log. */
async function withService(closing: Closing, redis: RedisServer): Promise<Checked> {
  const folder = await closing.keep(mkdtemp(join(tmpdir(), "sekisho-bench-")), (made) =>
    rm(made, { recursive: true, force: true }),
  );
  const served = await serve(closing, redis.url, { folder: join(folder, "data") });
  const starting = startNode("recovery", redis.url, served.service);
  const node = await closing.keep(starting, (started) => started.kill());
  await node.waitReady();
  return { client: checksClient(node.listen), token: served.operatorToken, node };
}

/** Milliseconds from Redis's first answer to the first check that is allowed. */
async function restartOnce(redis: RedisServer, checked: Checked): Promise<number> {
  await redis.kill();
  await until("a stale answer", async () => (await answerOf(checked)) !== undefined);
  const restarting = redis.restart();
  restarting.catch(() => undefined);
  await until("Redis to be back", () => answersPing(redis.port));
  const backMs = performance.now();
  await until("an allowed check", async () => (await answerOf(checked)) === undefined);
  const tookMs = performance.now() - backMs;
  await restarting;
  return tookMs;
}

async function untilAllowedFor(checked: Checked, ms: number): Promise<void> {
  let sinceMs = performance.now();
  await until("checks to be allowed again", async () => {
    if ((await answerOf(checked)) !== undefined) sinceMs = performance.now();
    return performance.now() - sinceMs >= ms;
  });
}

/** undefined: allowed. */
async function answerOf({ client, token }: Checked): Promise<string | undefined> {
  return refusalIn(await sendCheck(client, token).answered);
}

async function until(what: string, isSo: () => Promise<boolean>): Promise<void> {
  const givenUpMs = performance.now() + WITHIN_MS;
  while (!(await isSo())) {
    if (performance.now() > givenUpMs) throw new Error(`waited ${WITHIN_MS} ms for ${what}`);
    await passing(LOOK_MS);
  }
}
