/**
 * The session service with PostgreSQL: refreshes, reads, logins, revocations, memory. What is
 * measured, and how, is told in docs/benchmark.md.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import type { Closing } from "../../dev/demo/demo-deployment.js";
import { RedisServer } from "../../dev/redis-server.js";
import {
  describeCommit,
  describeMachine,
  postgresVersion,
  redisVersion,
  sekishoVersion,
} from "../report/environment.js";
import type { SessionResult } from "../report/session-result.js";
import {
  mainTable,
  sessionResultPage,
  sessionVerdict,
  stepTable,
} from "../report/session-table.js";
import { runBenchmark, writeResult } from "./benchmark-run.js";
import { LoadGenerator } from "./load-generator.js";
import { CONNECTIONS_MAX } from "./load-limits.js";
import { memoryOf } from "./process-usage.js";
import type { Progress } from "./progress.js";
import { SESSION_USAGE, readSessionArguments } from "./session-arguments.js";
import type { SessionPlan } from "./session-arguments.js";
import { measureHashes, measureLogins } from "./session-logins.js";
import type { SessionOrder, SessionSetUp } from "./session-messages.js";
import { measureAnswers, measureRevocations, measureSteps } from "./session-phases.js";
import { HASHES_MAX, createPeople, openDeployment, serve } from "./sessions-bench-deployment.js";
import type { Served, SessionsBenchDeployment } from "./sessions-bench-deployment.js";

const LIMIT_MS = 300_000;
/** With PGlite: enough for everything to have been used once. */
const PGLITE_USERS = 5;
const PGLITE_REFRESHES_PER_S = 10;

/** Returns the exit code; 0: all answers right. */
export async function sessionService(given: readonly string[]): Promise<number> {
  const args = readSessionArguments(given);
  if (args.kind === "wrong") {
    process.stderr.write(`${args.message}\n\n${SESSION_USAGE}\n`);
    return 2;
  }
  if (args.kind === "help") {
    process.stdout.write(`${SESSION_USAGE}\n`);
    return 0;
  }
  const { plan } = args;
  return runBenchmark(
    LIMIT_MS,
    (closing, progress) => measure(plan, closing, progress),
    async (result) => {
      show(result, plan);
      const name = "session-service";
      const place = plan.record ? ["bench", "results", name] : ["dist", "bench-last-sessions"];
      await writeResult(place, result, sessionResultPage(result));
      return 0;
    },
  );
}

async function measure(
  plan: SessionPlan,
  closing: Closing,
  progress: Progress,
): Promise<SessionResult> {
  // As it was when the run began, whatever is committed meanwhile.
  const found = { commit: await describeCommit(), machine: describeMachine() };
  progress.doing("measuring argon2 alone");
  const hashMs = await measureHashes(plan.hashes);
  progress.doing("starting Redis, PostgreSQL, the session service and nodes");
  const deployment = await openDeployment(closing, plan);
  progress.doing("creating users");
  const people = await createPeople(deployment, plan.users + plan.revokedUsers);
  progress.doing("logins");
  const everyDevice = Array.from({ length: plan.sessionsPerUser }, () => people).flat();
  const { logins, opened } = await measureLogins(deployment.client, everyDevice, HASHES_MAX);
  progress.done(`logins: ${logins.perS.toFixed(1)}/s, p95 ${logins.latency.p95.toFixed(1)} ms`);
  const revoked = people.slice(plan.users);
  const sessions = opened.flatMap(({ person, session }) =>
    revoked.includes(person) ? [] : [session],
  );
  const generator = await generate(closing, deployment, { sessions, nodes: plan.nodes });
  const measuring = { plan, deployment, generator, progress };
  const answers = await measureAnswers(measuring);
  const revocations = await measureRevocations(measuring, revoked);
  const steps = await measureSteps(measuring);
  const postgresql = memoryOf(deployment.service.pid) ?? null;
  progress.doing("the same service with PGlite");
  const pglite = await measurePglite(closing, plan);
  return {
    recordedAt: new Date().toISOString(),
    ...found,
    versions: await versionsOf(deployment),
    configuration: configurationOf(plan, deployment),
    ...answers,
    logins: { ...logins, hashMs },
    revocations,
    memory: { postgresql, pglite },
    steps,
  };
}

function configurationOf(plan: SessionPlan, { cores }: SessionsBenchDeployment) {
  const { rounds, ratePerS, refreshS, readS, users, sessionsPerUser, nodes } = plan;
  return {
    rounds,
    ratePerS,
    refreshS,
    readS,
    users,
    sessionsPerUser,
    nodes,
    revocationsPerS: plan.revocationsPerS,
    hashesMax: HASHES_MAX,
    connectionsMax: CONNECTIONS_MAX,
    fsync: true,
    cores,
  };
}

async function versionsOf({
  redis,
  postgres,
}: SessionsBenchDeployment): Promise<SessionResult["versions"]> {
  return {
    sekisho: await sekishoVersion(),
    node: process.versions.node,
    postgresql: await postgresVersion(postgres),
    redis: await redisVersion(redis.url),
  };
}

async function generate(
  closing: Closing,
  { service, operatorToken }: Served,
  given: Pick<SessionSetUp, "sessions" | "nodes">,
): Promise<LoadGenerator<SessionOrder>> {
  const setUp: SessionSetUp = { ...given, operatorToken, port: Number(new URL(service.url).port) };
  const made = new LoadGenerator<SessionOrder>("session-thread.js", setUp);
  return closing.keep(Promise.resolve(made), (started) => started.close());
}

/** The memory of a second service, with its database inside, once it has done some work. */
async function measurePglite(
  closing: Closing,
  { stepS, nodes }: SessionPlan,
): Promise<SessionResult["memory"]["pglite"]> {
  const folder = await closing.keep(mkdtemp(join(tmpdir(), "sekisho-bench-")), (made) =>
    rm(made, { recursive: true, force: true }),
  );
  // A Redis of its own: a log belongs to one database.
  const redis = await closing.keep(RedisServer.start(), (started) => started.close());
  const served = await serve(closing, redis.url, { folder: join(folder, "data") });
  const people = await createPeople(served, PGLITE_USERS);
  const { opened } = await measureLogins(served.client, people, HASHES_MAX);
  const sessions = opened.map(({ session }) => session);
  const generator = await generate(closing, served, { sessions, nodes });
  const ratePerS = PGLITE_REFRESHES_PER_S;
  const order = { act: { kind: "refresh" }, ratePerS, count: stepS * ratePerS } as const;
  const { failures, firstFailure } = await generator.run(order, () => undefined);
  if (failures > 0) throw new Error(`refresh with PGlite: ${firstFailure ?? ""}`);
  return memoryOf(served.service.pid) ?? null;
}

function show(result: SessionResult, { small }: SessionPlan): void {
  const table = mainTable(result);
  // So short a run has nothing to say about targets.
  process.stdout.write(`\n${small ? table.replaceAll(" (missed)", "") : table}\n\n`);
  process.stdout.write(`${stepTable(result)}\n\n`);
  process.stdout.write(`Cores: ${result.configuration.cores}.\n`);
  process.stdout.write(
    small
      ? "The answers were judged and the times were not: so short a run measures noise.\n"
      : `${sessionVerdict(result)}\n`,
  );
}
