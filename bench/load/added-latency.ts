/**
 * `npm run bench`: how much later an answer arrives because Sekisho is asked first. What is measured,
 * and how, is told in docs/benchmark.md.
 *
 * Exit codes: 0 all answers right and added p95 below its limit; 1 not so, or something could not be
 * started; 2 wrong usage; 128 + n if signal n broke it off.
 */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";

import { AuthzNode } from "../../deploy/local/authz-node.js";
import { Client, describeAnswer } from "../../deploy/local/client.js";
import { Closing } from "../../deploy/local/demo/stage.js";
import { EchoApi } from "../../deploy/local/echo-api.js";
import { repositoryRoot } from "../../deploy/local/repository.js";
import { waitFor } from "../../deploy/local/wait-for.js";
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
import type { Owner } from "./expected-answer.js";
import { LoadGenerator } from "./load-generator.js";
import { CONNECTIONS_MAX } from "./load-limits.js";
import { measureChecks } from "../micro/check.js";
import { Progress } from "./progress.js";
import { WrongAnswer, measureRounds } from "./rounds.js";
import { Stage } from "./stage.js";
import { TwoSidedEnvoy } from "./two-sided-envoy.js";

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
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
  const stage = await Stage.open(closing, given === "" ? undefined : given);
  const node = await closing.keep(
    AuthzNode.start({ nodeId: "bench", redisUrl: stage.redisUrl, mint: stage.mint }),
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
    owners.map(async (owner) => ({ owner, token: await stage.mint.mint({ ...owner, epoch: 0 }) })),
  );
  const generator = await closing.keep(Promise.resolve(new LoadGenerator({ tokens })), (started) =>
    started.close(),
  );
  const measured = await measureRounds({ plan, envoy, node, generator, progress });
  const [first] = tokens;
  if (first !== undefined) await assertRefusedOnceRevoked(stage, envoy, first);
  const { rounds, secondsPerSide, warmUpS, ratePerS } = plan;
  return {
    recordedAt: new Date().toISOString(),
    ...found,
    versions: {
      sekisho: await sekishoVersion(),
      node: process.versions.node,
      envoy: envoy.version,
      redis: await redisVersion(stage.redisUrl),
    },
    configuration: {
      ...{ rounds, secondsPerSide, warmUpS, ratePerS, tokens: plan.tokens },
      ...{ connectionsMax: CONNECTIONS_MAX, envoyThreads: 1, algorithm: "ES256" },
    },
    ...measured,
  };
}

/** A token that has just been allowed many times: the filter was in the path, and decides. */
async function assertRefusedOnceRevoked(
  stage: Stage,
  envoy: TwoSidedEnvoy,
  { token, owner }: { readonly token: string; readonly owner: Owner },
): Promise<void> {
  const { tenant, user, session } = owner;
  await stage.revoke({ kind: "session_revoked", tenant, user, session });
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

async function write(result: BenchmarkResult, { record }: LoadPlan): Promise<void> {
  const place = record ? ["bench", "results", "added-latency"] : ["dist", "bench-last"];
  const file = join(repositoryRoot(), ...place);
  await mkdir(join(file, ".."), { recursive: true });
  await writeFile(`${file}.json`, `${JSON.stringify(result, undefined, 2)}\n`);
  await writeFile(`${file}.md`, resultPage(result));
  process.stdout.write(`\nWritten to ${place.join("/")}.json and .md\n`);
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

async function main(): Promise<number> {
  const args = readArguments(process.argv.slice(2));
  if (args.kind === "wrong") {
    process.stderr.write(`${args.message}\n\n${USAGE}\n`);
    return 2;
  }
  if (args.kind === "help") {
    process.stdout.write(`${USAGE}\n`);
    return 0;
  }
  return args.kind === "micro" ? runMicro(args.small) : runLoad(args.plan);
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

async function runLoad(plan: LoadPlan): Promise<number> {
  const closing = new Closing();
  const progress = new Progress(process.stdout);
  const stopped = signalled();
  let exitCode = 0;
  try {
    const measuring = measure(plan, closing, progress);
    const result = await Promise.race([measuring, stopped, overdue(plan)]);
    progress.clear();
    if (typeof result === "string") {
      measuring.catch(() => undefined);
      exitCode = 128 + constants.signals[result];
    } else {
      exitCode = judge(result, plan);
      await write(result, plan);
    }
  } catch (error) {
    progress.clear();
    process.stderr.write(`\n${error instanceof Error ? error.message : String(error)}\n`);
    exitCode = 1;
  }
  for (const fault of await closing.close()) {
    const text = fault instanceof Error ? fault.message : String(fault);
    process.stderr.write(`while stopping: ${text}\n`);
    if (exitCode === 0) exitCode = 1;
  }
  return exitCode;
}

async function overdue(plan: LoadPlan): Promise<never> {
  const requestsMs = 2 * plan.rounds * (plan.warmUpS + plan.secondsPerSide) * 1000;
  const timeout = AbortSignal.timeout(requestsMs + AROUND_MAX_MS);
  return new Promise((_, reject) => {
    timeout.addEventListener("abort", () => {
      const limitS = Math.round((requestsMs + AROUND_MAX_MS) / 1000);
      reject(new Error(`not done within ${limitS} s`));
    });
  });
}

type StopSignal = (typeof SIGNALS)[number] | "SIGPIPE";

/** Settles with the first signal that asks to stop, or when whoever reads the output has gone. */
async function signalled(): Promise<StopSignal> {
  return new Promise((resolve) => {
    for (const signal of SIGNALS) process.on(signal, () => resolve(signal));
    process.stdout.on("error", () => resolve("SIGPIPE"));
  });
}

// Nothing may keep a finished benchmark from ending.
process.exit(await main());
