/**
 * How much later an answer arrives because Sekisho is asked first. What is measured, and how, is told
 * in docs/benchmark.md.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { AuthzNode } from "../../dev/authz-node.js";
import { Client, describeAnswer } from "../../dev/client.js";
import type { Closing } from "../../dev/demo/demo-deployment.js";
import { EchoApi } from "../../dev/echo-api.js";
import { waitFor } from "../../dev/wait-for.js";
import {
  describeCommit,
  describeMachine,
  redisVersion,
  sekishoVersion,
} from "../report/environment.js";
import { keepsLimit } from "../report/result.js";
import type { BenchmarkResult } from "../report/result.js";
import {
  latencyTable,
  microTable,
  describeRequests,
  describeSidecar,
  resultPage,
  verdict,
} from "../report/table.js";
import { USAGE, readArguments } from "./arguments.js";
import type { LoadPlan } from "./arguments.js";
import { runBenchmark, writeResult } from "./benchmark-run.js";
import type { Owner } from "./expected-answer.js";
import { LoadGenerator } from "./load-generator.js";
import type { LoadOrder } from "./load-messages.js";
import { CONNECTIONS_MAX } from "./load-limits.js";
import { measureChecks } from "../micro/check.js";
import type { Progress } from "./progress.js";
import { WrongAnswer, measureRounds } from "./rounds.js";
import { AuthzBenchDeployment } from "./authz-bench-deployment.js";
import { TwoSidedEnvoy } from "./two-sided-envoy.js";

/** What a run may take beyond its requests: starting, minting, the last answers. */
const AROUND_MAX_MS = 60_000;
/** The node promises a second. */
const REFUSAL_TIMEOUT_MS = 5_000;

function ownerOf(index: number): Owner {
  return { tenant: "bench", user: `user-${index}`, session: `session-${index}` };
}

async function measure(
  plan: LoadPlan,
  closing: Closing,
  progress: Progress,
): Promise<BenchmarkResult> {
  // As it was when the run began, whatever is committed meanwhile.
  const found = { commit: await describeCommit(), machine: describeMachine() };
  progress.doing("starting Redis, Sekisho, the API and Envoy");
  const given = process.env["SEKISHO_REDIS_URL"];
  const deployment = await AuthzBenchDeployment.open(closing, given === "" ? undefined : given);
  const node = await closing.keep(
    AuthzNode.start({ nodeId: "bench", redisUrl: deployment.redisUrl, mint: deployment.mint }),
    (started) => started.stop(),
  );
  const api = await closing.keep(EchoApi.start(), (started) => started.close());
  const envoy = await closing.keep(
    TwoSidedEnvoy.start({ api: { port: api.port }, sekisho: node.address }),
    (started) => started.close(),
  );
  await node.waitReady();
  const owners = Array.from({ length: plan.tokens }, (_, index) => ownerOf(index));
  const tokens = await Promise.all(
    owners.map(async (owner) => ({
      owner,
      token: await deployment.mint.mint({ ...owner, epoch: 0 }),
    })),
  );
  const generator = await closing.keep(
    Promise.resolve(new LoadGenerator<LoadOrder>("load-thread.js", { tokens })),
    (started) => started.close(),
  );
  const measured = await measureRounds({ plan, envoy, node, generator, progress });
  const [first] = tokens;
  if (first !== undefined) await assertRefusedOnceRevoked(deployment, envoy, first);
  const { rounds, secondsPerSide, warmUpS, ratePerS } = plan;
  return {
    recordedAt: new Date().toISOString(),
    ...found,
    versions: {
      sekisho: await sekishoVersion(),
      node: process.versions.node,
      envoy: envoy.version,
      redis: await redisVersion(deployment.redisUrl),
    },
    configuration: {
      rounds,
      secondsPerSide,
      warmUpS,
      ratePerS,
      tokens: plan.tokens,
      connectionsMax: CONNECTIONS_MAX,
      envoyThreads: 1,
      algorithm: "ES256",
    },
    ...measured,
  };
}

/** A token that has just been allowed many times: the filter was in the path, and decides. */
async function assertRefusedOnceRevoked(
  deployment: AuthzBenchDeployment,
  envoy: TwoSidedEnvoy,
  { token, owner }: { readonly token: string; readonly owner: Owner },
): Promise<void> {
  const { tenant, user, session } = owner;
  await deployment.revoke({ kind: "session_revoked", tenant, user, session });
  const clients = {
    with: new Client(`http://127.0.0.1:${envoy.ports.with}`),
    without: new Client(`http://127.0.0.1:${envoy.ports.without}`),
  };
  let last = "nothing";
  try {
    await waitFor(
      async () => {
        const answer = await clients.with.get("/", { token });
        last = describeAnswer(answer);
        return last === "401 session_revoked" || undefined;
      },
      { what: "a revoked token to be refused", timeoutMs: REFUSAL_TIMEOUT_MS },
    ).catch((error: unknown) => {
      throw new WrongAnswer(`${error instanceof Error ? error.message : ""}; answered: ${last}`);
    });
    const passed = await clients.without.get("/", { token });
    if (passed.status !== 200) {
      throw new WrongAnswer(`without the filter a token was answered ${describeAnswer(passed)}`);
    }
  } finally {
    clients.with.close();
    clients.without.close();
  }
}

/** The result on the screen, and the exit code that it means. */
function judge(result: BenchmarkResult, { small }: LoadPlan): number {
  const table = latencyTable(result.rounds).replaceAll("**", "");
  process.stdout.write(`\n${table}\n\n`);
  process.stdout.write(`${describeRequests(result)}\n${describeSidecar(result)}\n`);
  if (small) {
    process.stdout.write(
      "The answers were judged and the added latency was not: so short a run measures noise.\n",
    );
    return 0;
  }
  process.stdout.write(`${verdict(result.rounds)}\n`);
  return keepsLimit(result.rounds) ? 0 : 1;
}

/** Returns the exit code; 0: all answers right and added p95 below its limit. */
export async function addedLatency(given: readonly string[]): Promise<number> {
  const args = readArguments(given);
  if (args.kind === "wrong") {
    process.stderr.write(`${args.message}\n\n${USAGE}\n`);
    return 2;
  }
  if (args.kind === "help") {
    process.stdout.write(`${USAGE}\n`);
    return 0;
  }
  if (args.kind === "micro") return runMicro(args.small);
  const { plan } = args;
  return runBenchmark(
    limitOf(plan),
    (closing, progress) => measure(plan, closing, progress),
    async (result) => {
      const exitCode = judge(result, plan);
      const place = plan.record ? ["bench", "results", "added-latency"] : ["dist", "bench-last"];
      await writeResult(place, result, resultPage(result));
      return exitCode;
    },
  );
}

async function runMicro(small: boolean): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), "sekisho-bench-"));
  try {
    process.stdout.write(`${microTable(await measureChecks(folder, { small }))}\n`);
    return 0;
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    return 1;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function limitOf(plan: LoadPlan): number {
  const requestsMs = 2 * plan.rounds * (plan.warmUpS + plan.secondsPerSide) * 1000;
  return requestsMs + AROUND_MAX_MS;
}
