/**
 * Judges the guarantee: sessions are revoked without pause while something is broken and repaired
 * again. Each token is asked for at every pod from before its revocation until well after it, and
 * every answer is judged.
 */
import { randomInt } from "node:crypto";
import { setTimeout as passing } from "node:timers/promises";
import { expect } from "@jest/globals";
import { formatMs, reportMeasured } from "./e2e-report.js";
import type { Poller } from "./e2e-poller.js";
import type { EntryAddress, Receipt, ReceiptCollector } from "../../src/revocation-log/receipt.js";
import { untilAnswered, type E2eDeployment, type Pod } from "./e2e-deployment.js";

/** What the nodes of every deployment are set to. */
export const MAX_STALENESS_MS = 1000;
/** How long a token is asked for after its revocation, and how many revocations overlap. */
const ASKED_AFTER_MS = 2200;
const REVOKERS = 3;

/** As many faults as are asked for: `npm run test:guarantee -- --short` sees fewer of them. */
export function faultCount(short: number, long: number): number {
  return process.env["GUARANTEE"] === "short" ? short : long;
}

/** What 0 ≤ n < below is next. A run can be told again by its seed. */
export type Random = (below: number) => number;

export interface Fault {
  readonly name: string;
  readonly begin: () => Promise<void> | void;
  readonly end: () => Promise<void> | void;
}

export interface GuaranteeRun {
  readonly what: string;
  readonly deployment: E2eDeployment;
  readonly pods: readonly Pod[];
  /** Ends this session; asked again until that is published. */
  readonly publish: (
    session: string,
  ) => Promise<{ readonly published: boolean } & Partial<EntryAddress>>;
  /** Left out: no receipts are reported. */
  readonly receipts?: Pick<ReceiptCollector, "waitFor">;
  readonly faults: number;
  /** The next fault; it may depend on what the ones before have left. */
  readonly next: (random: Random) => Fault;
  /** How long a fault lasts, and how long it is quiet after it. */
  readonly lastsMs: (random: Random) => number;
  readonly quietMs: (random: Random) => number;
}

interface Revoked {
  readonly token: string;
  readonly askedAtMs: number;
  readonly acknowledgedAtMs: number;
  /** undefined: the rows could not be read. */
  readonly receipt: Receipt | undefined;
  readonly pollers: readonly Poller[];
}

interface PastFault {
  readonly name: string;
  readonly begunAtMs: number;
}

/** Runs the faults and asserts that nothing was allowed past the limit, and is refused at the end. */
export async function expectGuarantee(run: GuaranteeRun): Promise<void> {
  const seed = randomInt(2 ** 31);
  const random = seeded(seed);
  const history: PastFault[] = [];
  const over = new AbortController();
  const givingUp = new AbortController();
  const ends = { over: over.signal, givenUp: givingUp.signal };
  const revoking = Promise.all(
    Array.from({ length: REVOKERS }, (_, revoker) => revokeUntil(run, ends, revoker)),
  );
  revoking.catch(() => undefined);
  try {
    for (let i = 0; i < run.faults; i += 1) {
      const fault = run.next(random);
      history.push({ name: fault.name, begunAtMs: performance.now() });
      await fault.begin();
      await passing(run.lastsMs(random));
      await fault.end();
      await passing(run.quietMs(random));
    }
  } catch (error) {
    givingUp.abort();
    throw error;
  } finally {
    over.abort();
  }
  const revoked = (await revoking).flat();
  const told = `seed ${seed}: ${history.map(({ name }) => name).join(", ")}`;

  const worstMs = Math.max(...revoked.map(lastAllowMs));
  const late = revoked.filter((one) => lastAllowMs(one) > MAX_STALENESS_MS);
  expect({ late: late.map(({ pollers }) => pollers.map((one) => one.summary())), told }).toEqual({
    late: [],
    told,
  });
  // The test would prove nothing if nothing had been allowed before, or nothing had been revoked.
  const passedBefore = revoked.filter(({ pollers, acknowledgedAtMs }) =>
    pollers.some((one) => one.seen.some((s) => s.what === "200" && s.atMs < acknowledgedAtMs)),
  );
  expect(revoked.length).toBeGreaterThan(REVOKERS);
  expect(passedBefore.length).toBeGreaterThan(0);
  reportMeasured(
    `${run.what}: ${revoked.length} revocations under ${run.faults} faults; the last request that a ` +
      `node allowed was sent ${formatMs(worstMs)} after the acknowledgement (promised: ` +
      `${MAX_STALENESS_MS} ms)`,
  );
  if (run.receipts !== undefined) reportMeasured(figuresOf(history, revoked));
  await expectInForce(run, revoked);
}

/** What each kind of fault did to acknowledgements, answers and receipts, as a table. */
function figuresOf(history: readonly PastFault[], revoked: readonly Revoked[]): string {
  const lines = [...new Set(history.map(({ name }) => name))].map((name) => {
    const spans = history.flatMap(({ name: its, begunAtMs }, at) => {
      const untilMs = history[at + 1]?.begunAtMs ?? Infinity;
      return its === name ? [(ms: number) => ms >= begunAtMs && ms < untilMs] : [];
    });
    const its = revoked.filter((one) => spans.some((isIn) => isIn(one.askedAtMs)));
    const slowestMs = Math.max(0, ...its.map((one) => one.acknowledgedAtMs - one.askedAtMs));
    const refusedMs = its.flatMap(({ pollers }) => pollers.map(longestWithoutDecisionMs));
    const outcomes = its.map(({ receipt }) => (receipt ? outcomeOf(receipt) : "rows not readable"));
    const counts = [...new Set(outcomes)]
      .sort()
      .map((what) => `${outcomes.filter((one) => one === what).length} × ${what}`);
    return (
      `    ${name}, ${spans.length} times: the slowest acknowledgement ${formatMs(slowestMs)}, ` +
      `the longest 503 ${formatMs(Math.max(0, ...refusedMs))}, receipts: ${counts.join("; ") || "none"}`
    );
  });
  return ["by fault:", ...lines].join("\n");
}

/** "node-1 silent, node-2 pending", or that every node has confirmed it. */
function outcomeOf({ pending, silent }: Receipt): string {
  const of = (state: string) => (one: { readonly node: string }) => `${one.node} ${state}`;
  const named = new Set([...silent.map(of("silent")), ...pending.map(of("pending"))]);
  return named.size === 0 ? "confirmed by all" : [...named].sort().join(", ");
}

/** From the first to the last of answers in a row that neither allow nor refuse the token. */
function longestWithoutDecisionMs({ seen }: Poller): number {
  let longestMs = 0;
  let sinceMs: number | undefined;
  for (const { what, sentAtMs, atMs } of seen) {
    if (what === "200" || what.startsWith("401")) sinceMs = undefined;
    else longestMs = Math.max(longestMs, atMs - (sinceMs ??= sentAtMs));
  }
  return longestMs;
}

/** After the faults, every node follows the log again and refuses all that was revoked. */
async function expectInForce(
  { deployment, pods }: GuaranteeRun,
  revoked: readonly Revoked[],
): Promise<void> {
  const live = deployment.token({ tenant: "acme", user: "ann", session: "chaos-alive" });
  for (const pod of pods) {
    await untilAnswered(pod, "/things", { token: live }, "200");
    for (const { token } of revoked) {
      expect(await pod.client.seen("/things", { token })).toBe("401 session_revoked");
    }
  }
}

/** Mints a token, has it asked for everywhere, revokes it, and goes on asking for a while. */
async function revokeOne(
  { deployment, pods, publish, receipts }: GuaranteeRun,
  session: string,
  givenUp: AbortSignal,
): Promise<Revoked> {
  const token = deployment.token({ tenant: "acme", user: "ann", session });
  const pollers = pods.map(({ name, client }) =>
    deployment.poll(`${name}, ${session}`, client, "/things", { token }),
  );
  await passing(100);
  const askedAtMs = performance.now();
  let outcome = await publish(session);
  while (!outcome.published) {
    givenUp.throwIfAborted();
    await passing(20);
    outcome = await publish(session);
  }
  const acknowledgedAtMs = performance.now();
  const [receipt] = await Promise.all([
    receipts && receiptOf(receipts, outcome),
    passing(ASKED_AFTER_MS),
  ]);
  await Promise.all(pollers.map((poller) => poller.stop()));
  return { token, askedAtMs, acknowledgedAtMs, receipt, pollers };
}

/** undefined: the nodes' rows could not be read. */
async function receiptOf(
  receipts: Pick<ReceiptCollector, "waitFor">,
  { generation, seq, entryId }: Partial<EntryAddress>,
): Promise<Receipt | undefined> {
  if (generation === undefined || seq === undefined) throw new Error("no entry was published");
  const entry = { generation, seq, entryId };
  return receipts.waitFor(entry, MAX_STALENESS_MS).catch(() => undefined);
}

async function revokeUntil(
  run: GuaranteeRun,
  { over, givenUp }: { readonly over: AbortSignal; readonly givenUp: AbortSignal },
  revoker: number,
): Promise<Revoked[]> {
  const revoked: Revoked[] = [];
  while (!over.aborted) {
    revoked.push(await revokeOne(run, `chaos-${revoker}-${revoked.length}`, givenUp));
  }
  return revoked;
}

/** How long after the acknowledgement the last allowed request was sent; -Infinity: none was. */
function lastAllowMs({ acknowledgedAtMs, pollers }: Revoked): number {
  const sent = pollers.flatMap(({ seen }) =>
    seen.filter(({ what }) => what === "200").map(({ sentAtMs }) => sentAtMs),
  );
  return Math.max(...sent) - acknowledgedAtMs;
}

function seeded(seed: number): Random {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}
