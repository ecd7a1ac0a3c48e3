/** The phases of the session service's benchmark: what is sent, and how it is counted. */
import { percentilesOf } from "../report/percentile.js";
import type { Percentiles } from "../report/percentile.js";
import type { SessionResult, Shares, Timed } from "../report/session-result.js";
import { milliseconds } from "../report/table.js";
import { LoadBrokenOff } from "./load-generator.js";
import type { LoadGenerator } from "./load-generator.js";
import type { LoadResult } from "./load-messages.js";
import { monotonicMs } from "./monotonic.js";
import { processorSeconds } from "./process-usage.js";
import type { Progress } from "./progress.js";
import { WrongAnswer } from "./rounds.js";
import type { SessionPlan } from "./session-arguments.js";
import { faultOfReceipt } from "./session-answers.js";
import type { Act, Read, SessionOrder } from "./session-messages.js";
import { TENANT, revokeAllPath } from "./sessions-bench-deployment.js";
import type { Person, SessionsBenchDeployment } from "./sessions-bench-deployment.js";

export interface Measuring {
  readonly plan: SessionPlan;
  readonly deployment: SessionsBenchDeployment;
  readonly generator: LoadGenerator<SessionOrder>;
  readonly progress: Progress;
}

interface Phase {
  readonly name: string;
  readonly act: Act;
  readonly seconds: number;
}

export type Answers = Pick<SessionResult, "answers" | "requests">;

/** Entries that a page has unless it is asked for more. */
const PAGE = 50;
/** What is this slow has been waiting in a queue that grows. */
const STEP_P95_MAX_MS = 100;

function phasesOf({ plan }: Measuring): readonly Phase[] {
  const { refreshS, readS, users, sessionsPerUser, revokedUsers } = plan;
  const admin = "/v1/admin/tenants";
  const ofTenant = `${admin}/${TENANT}`;
  const read = (name: string, by: Read["by"], ...[path, list, length]: [string, string, number]) =>
    ({
      name,
      act: { kind: "read", read: { path, by, list, length } },
      seconds: readS,
    }) as const;
  const people = Math.min(PAGE, users + revokedUsers);
  return [
    { name: "refresh", act: { kind: "refresh" }, seconds: refreshS },
    read("my sessions", "sessions", "/v1/me/sessions", "sessions", sessionsPerUser),
    read("users", "operator", `${ofTenant}/users`, "users", people),
    read(
      ...(["sessions of a user", "operator"] as const),
      ...([`${ofTenant}/users/user-0/sessions`, "sessions", sessionsPerUser] as const),
    ),
    read("audit trail", "operator", `${ofTenant}/audit?limit=20`, "entries", 20),
    read("tenants", "operator", admin, "tenants", 2),
    read("key set", "anonymous", "/.well-known/jwks.json", "keys", 1),
  ];
}

/** Refreshes and reads at the fixed rate; in each round every phase once. */
export async function measureAnswers(measuring: Measuring): Promise<Answers> {
  const { plan } = measuring;
  const { ratePerS, warmUpS } = plan;
  const phases = phasesOf(measuring);
  for (const { name, act } of phases) {
    const count = warmUpS * ratePerS;
    if (count > 0) await send(measuring, `${name}, warm-up`, { act, ratePerS, count });
  }
  const rounds = new Map(phases.map(({ name }): [string, Percentiles[]] => [name, []]));
  const requests = { measured: 0, late: 0, latestMs: 0 };
  for (let round = 1; round <= plan.rounds; round += 1) {
    for (const { name, act, seconds } of phases) {
      const what = `round ${round} of ${plan.rounds}, ${name}`;
      const result = await send(measuring, what, { act, ratePerS, count: seconds * ratePerS });
      requests.measured += result.latenciesMs.length;
      requests.late += result.lateSends;
      requests.latestMs = Math.max(requests.latestMs, result.latestSendMs);
      const measured = percentilesOf(result.latenciesMs);
      rounds.get(name)?.push(measured);
      tell(measuring, what, measured);
    }
  }
  const answers = phases.map(({ name, seconds }) => {
    const count = seconds * ratePerS * plan.rounds;
    return { name, count, rounds: rounds.get(name) ?? [] };
  });
  return { answers, requests };
}

/** `revoke-all` with the receipt of every node: one after the other, and at a fixed rate. */
export async function measureRevocations(
  measuring: Measuring,
  people: readonly Person[],
): Promise<Timed[]> {
  const { plan } = measuring;
  const { rounds, revocations, revocationsPerS: ratePerS, revocationS } = plan;
  const paths = people.map(revokeAllPath);
  const oneByOne: Percentiles[] = [];
  const atRate: Percentiles[] = [];
  const count = revocationS * ratePerS;
  // The first of each kind are slower than any that follow.
  await revokeOneByOne(measuring, paths, paths.length);
  for (let round = 1; round <= rounds; round += 1) {
    const what = `round ${round} of ${rounds}, revoke-all`;
    measuring.progress.doing(what);
    const one = percentilesOf(await revokeOneByOne(measuring, paths, revocations));
    tell(measuring, `${what}, one after the other`, one);
    oneByOne.push(one);
    const name = `${what}, ${ratePerS}/s`;
    const sent = await send(measuring, name, { act: { kind: "revoke", paths }, ratePerS, count });
    const measured = percentilesOf(sent.latenciesMs);
    tell(measuring, name, measured);
    atRate.push(measured);
  }
  const nodes = `receipt of ${plan.nodes} nodes`;
  return [
    {
      name: `revoke-all, ${nodes}, one after the other`,
      count: revocations * rounds,
      rounds: oneByOne,
    },
    { name: `revoke-all, ${nodes}, ${ratePerS}/s`, count: count * rounds, rounds: atRate },
  ];
}

async function revokeOneByOne(
  { deployment, plan }: Measuring,
  paths: readonly string[],
  count: number,
): Promise<Float64Array> {
  const latenciesMs = new Float64Array(count);
  for (let index = 0; index < count; index += 1) {
    const path = paths[index % paths.length] ?? "";
    const startedMs = monotonicMs();
    const request = { token: deployment.operatorToken, body: {} };
    const { status, body } = await deployment.client.ask("POST", path, request);
    latenciesMs[index] = monotonicMs() - startedMs;
    const fault = faultOfReceipt({ status, body: JSON.stringify(body) }, plan.nodes);
    if (fault !== undefined) throw new WrongAnswer(`revoke-all ${index}: ${fault}`);
  }
  return latenciesMs;
}

/** Refreshes at growing rates until one is not kept up with. */
export async function measureSteps(measuring: Measuring): Promise<SessionResult["steps"]> {
  const { plan, progress } = measuring;
  const steps: SessionResult["steps"] = [];
  for (const ratePerS of plan.steps) {
    const what = `${ratePerS} refreshes/s`;
    const before = usageOf(measuring);
    const count = plan.stepS * ratePerS;
    const order = { act: { kind: "refresh" }, ratePerS, count } as const;
    const sent = await send(measuring, what, order).catch((error: unknown) => {
      if (error instanceof LoadBrokenOff) return undefined;
      throw error;
    });
    const shares = sharesBetween(before, usageOf(measuring));
    if (sent === undefined) {
      progress.done(`${what}: does not keep up`);
      return [...steps, { ratePerS, latency: null, shares }];
    }
    const latency = percentilesOf(sent.latenciesMs);
    tell(measuring, what, latency);
    steps.push({ ratePerS, latency, shares });
    if (latency.p95 > STEP_P95_MAX_MS) break;
  }
  return steps;
}

interface Usage {
  readonly atMs: number;
  readonly seconds: Readonly<Record<keyof Shares, number | undefined>>;
}

function usageOf({ deployment }: Measuring): Usage {
  const seconds = {
    service: processorSeconds(deployment.service.pid),
    postgresql: processorSeconds(deployment.postgres.pid),
    redis: processorSeconds(deployment.redis.pid),
  };
  return { atMs: monotonicMs(), seconds };
}

/** In percent of one core; null where it is not known. */
function sharesBetween(before: Usage, after: Usage): Shares | null {
  const share = (part: keyof Shares): number => {
    const seconds = (after.seconds[part] ?? NaN) - (before.seconds[part] ?? NaN);
    return (100 * 1000 * seconds) / (after.atMs - before.atMs);
  };
  const shares = {
    service: share("service"),
    postgresql: share("postgresql"),
    redis: share("redis"),
  };
  return Object.values(shares).every((value) => Number.isFinite(value)) ? shares : null;
}

async function send(
  { plan, generator, progress }: Measuring,
  what: string,
  order: SessionOrder,
): Promise<LoadResult> {
  progress.doing(what);
  // A session waits for the answer to its last refresh, so no more can be under way.
  const sessions = plan.users * plan.sessionsPerUser;
  const limit = order.act.kind === "refresh" ? { inFlightMax: sessions } : {};
  const result = await generator.run({ ...order, ...limit }, (sent) =>
    progress.doing(`${what}: ${sent} of ${order.count} requests`),
  );
  if (result.failures > 0) {
    const first = result.firstFailure ?? "";
    throw new WrongAnswer(`${what}: ${result.failures} of ${order.count} wrong; first, ${first}`);
  }
  return result;
}

function tell({ progress }: Measuring, what: string, { p50, p95, p99 }: Percentiles): void {
  progress.done(`${what}: p50, p95, p99 ${[p50, p95, p99].map(milliseconds).join(", ")} ms`);
}
