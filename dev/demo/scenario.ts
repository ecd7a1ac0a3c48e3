/** The demo's steps, in order. Each checks what it prints. */
import { z } from "zod";

import { describeAnswer } from "../client.js";
import { userPath } from "../sessions-client.js";
import type { RevocationAnswer } from "../sessions-client.js";
import { UnexpectedResult, milliseconds } from "./account.js";
import type { Account } from "./account.js";
import type { Fixtures } from "./fixtures.js";
import {
  PATH,
  Traffic,
  expectAnswer,
  expectEverywhere,
  expectOnly,
  firstRefusal,
} from "./observe.js";
import type { DemoDeployment } from "./demo-deployment.js";

const problemSchema = z.object({ code: z.string() });

/** The promise: refused on every node within this time of the acknowledgement. */
const REFUSED_WITHIN_MS = 1_000;
/** How long the administrator's receipt waits for all nodes. */
const RECEIPT_WAIT_MS = 2_000;

const SESSION_REVOKED = "401 session_revoked";
const EPOCH_SUPERSEDED = "401 user_epoch_superseded";

/** When it arrived, by `performance.now()`; and which nodes had applied it, where that was asked. */
type Acknowledged = Pick<RevocationAnswer, "atMs" | "nodes" | "per_node">;

export interface StepContext {
  readonly deployment: DemoDeployment;
  readonly fixtures: Fixtures;
  readonly account: Account;
  /** Times from acknowledgement to refusal, of every node and revocation so far. */
  readonly refusedAfterMs: number[];
}

interface Step {
  readonly title: string;
  run(context: StepContext): Promise<void>;
}

export const SCENARIO: readonly Step[] = [
  { title: "Ann has logged in at acme on her laptop and her phone", run: twoDevicesPass },
  {
    title: "Her phone is stolen: an administrator ends its session and waits for the receipt",
    run: oneSessionIsRevoked,
  },
  { title: "Her account is taken over: everything of hers is revoked", run: theUserIsRevoked },
  { title: "A thief uses a copy of her refresh token", run: aRefreshTokenIsReused },
  { title: "Another Ann, at globex, has the same user id", run: theNamesakePasses },
  { title: "A fourth node joins under traffic", run: aNodeJoins },
  { title: "A client claims to be another user", run: spoofedHeadersAreRemoved },
];

async function twoDevicesPass({ deployment, fixtures, account }: StepContext): Promise<void> {
  account.request("POST /v1/login");
  for (const device of ["laptop", "phone"] as const) {
    const { accessToken: token, sessionId } = fixtures[device];
    const answers = await expectEverywhere(deployment.pods, { token }, "200");
    for (const { echo } of answers) {
      const seen = echo?.headers["x-auth-session-id"];
      if (seen !== sessionId) {
        throw new UnexpectedResult(`the API got session ${seen ?? "(none)"}, not ${sessionId}`);
      }
    }
    account.seen(
      `her ${device} passes on all ${deployment.pods.length} nodes as session ${sessionId}`,
    );
  }
}

async function oneSessionIsRevoked(context: StepContext): Promise<void> {
  const { deployment, fixtures, account } = context;
  const { sessionId: session, accessToken: token } = fixtures.phone;
  const whose = { tenant: "acme", user: "ann", session };
  account.request(`DELETE ${userPath(whose)}/sessions/${session}?wait_ms=${RECEIPT_WAIT_MS}`);
  await revokeAndWatch(context, {
    act: () =>
      deployment.sessions.revokeSession(deployment.operator.accessToken, whose, RECEIPT_WAIT_MS),
    token,
    refusal: SESSION_REVOKED,
  });
  await expectEverywhere(deployment.pods, { token: fixtures.laptop.accessToken }, "200");
  account.seen("her laptop still passes on all of them");
}

async function theUserIsRevoked(context: StepContext): Promise<void> {
  const { deployment, fixtures, account } = context;
  const whose = { tenant: "acme", user: "ann" };
  account.request(`POST ${userPath(whose)}/revoke-all?wait_ms=0`);
  await revokeAndWatch(context, {
    act: () => deployment.sessions.revokeUser(deployment.operator.accessToken, whose),
    token: fixtures.laptop.accessToken,
    refusal: EPOCH_SUPERSEDED,
  });
  await expectEverywhere(deployment.pods, { token: fixtures.phone.accessToken }, SESSION_REVOKED);
  account.seen("her phone stays refused");
  await expectRefreshRefused(deployment, fixtures.laptop.refreshToken, "session_ended");
  account.seen("her refresh token is refused as well: 401 session_ended");
  const { accessToken: token } = await fixtures.ann.logIn("laptop");
  await expectEverywhere(deployment.pods, { token }, "200");
  account.seen("when she logs in again, she passes at once");
}

async function aRefreshTokenIsReused(context: StepContext): Promise<void> {
  const { deployment, fixtures, account } = context;
  const first = await fixtures.ann.logIn("tablet");
  const second = await deployment.sessions.refresh(first.refreshToken);
  const third = await deployment.sessions.refresh(second.refreshToken);
  account.seen("her tablet has exchanged its refresh token twice; each is good for one use");
  account.request("POST /v1/refresh, by the thief, with the first one");
  await revokeAndWatch(context, {
    act: () => expectRefreshRefused(deployment, first.refreshToken, "refresh_token_reused"),
    token: third.accessToken,
    refusal: SESSION_REVOKED,
  });
  account.seen("which of the two is the thief is unknown, so the session ends for both");
}

async function theNamesakePasses({ deployment, fixtures, account }: StepContext): Promise<void> {
  const { accessToken: token } = fixtures.namesake;
  const answers = await expectEverywhere(deployment.pods, { token }, "200");
  account.seen(`she passes on all ${answers.length} nodes: users of two tenants are two users`);
}

async function aNodeJoins({ deployment, fixtures, account }: StepContext): Promise<void> {
  const { accessToken: good } = fixtures.namesake;
  const { accessToken: revoked } = fixtures.phone;
  const running = deployment.pods.map((pod) => ({
    name: pod.name,
    good: new Traffic(pod.client, good),
    revoked: new Traffic(pod.client, revoked),
  }));
  let newborn: Traffic | undefined;
  const name = `node-${deployment.pods.length + 1}`;
  const pod = await deployment.addPod(name, (client) => {
    newborn = new Traffic(client, revoked);
  });
  const expected = [
    [revoked, SESSION_REVOKED],
    [fixtures.laptop.accessToken, EPOCH_SUPERSEDED],
    [good, "200"],
  ] as const;
  for (const [token, answer] of expected) {
    expectAnswer(pod, await pod.client.get(PATH, { token }), answer);
  }
  account.seen(`${name} refuses what was revoked before it started, and lets the others pass`);

  const early = (await newborn?.end()) ?? new Map<string, number>();
  // Until it has read the log it answers 503, but never lets a revoked token pass.
  const unready = ["503 revocations_stale", "503 keys_unavailable"];
  const asked = expectOnly(name, early, [SESSION_REVOKED, ...unready]);
  account.seen(`it was asked ${asked} times from its first moment on and let none pass`);

  let total = 0;
  for (const { name: whose, ...traffic } of running) {
    total += expectOnly(whose, await traffic.good.end(), ["200"]);
    total += expectOnly(whose, await traffic.revoked.end(), [SESSION_REVOKED]);
  }
  account.seen(`meanwhile the others gave ${total} answers, each as before`);
}

async function spoofedHeadersAreRemoved({
  deployment,
  fixtures,
  account,
}: StepContext): Promise<void> {
  const spoofed = {
    "X-Auth-Tenant-Id": "acme",
    "x-auth-user-id": "root",
    "x-auth-session-id": "forged",
  };
  const names = Object.keys(spoofed).map((name) => name.toLowerCase());
  const { accessToken: token, sessionId } = fixtures.namesake;
  for (const pod of deployment.pods) {
    const known = await pod.client.get(PATH, { token, headers: spoofed });
    const anonymous = await pod.client.get("/public/news", { headers: spoofed });
    const seen = [known, anonymous].map((answer) => {
      expectAnswer(pod, answer, "200");
      return names.map((name) => answer.echo?.headers[name] ?? "-").join(" ");
    });
    if (seen[0] !== `globex ann ${sessionId}` || seen[1] !== "- - -") {
      throw new UnexpectedResult(`the API behind ${pod.name} got ${seen.join(" and ")}`);
    }
    const underscored = await pod.client.get("/public/news", {
      headers: { x_auth_user_id: "root" },
    });
    if (underscored.status !== 400) {
      throw new UnexpectedResult(`${pod.name} answered ${describeAnswer(underscored)}, not 400`);
    }
  }
  account.seen("with a token, the API gets the token's identity, not what the client wrote");
  account.seen("without one, on a public route, it gets none");
  account.seen(
    "x_auth_user_id, which some frameworks take for x-auth-user-id, is refused with 400",
  );
}

/** Revokes while every node gets requests with the token, and prints how long each let it pass. */
async function revokeAndWatch(
  { deployment, account, refusedAfterMs }: StepContext,
  revocation: {
    /** Resolves with the answer that acknowledges the revocation. */
    readonly act: () => Promise<Acknowledged>;
    readonly token: string;
    readonly refusal: string;
  },
): Promise<void> {
  const { pods } = deployment;
  const { act, token, refusal } = revocation;
  await expectEverywhere(pods, { token }, "200");
  const watching = pods.map((pod) => firstRefusal(pod, token, refusal));
  const sentAtMs = performance.now();
  const [acknowledged, ...refusedAt] = await Promise.all([act(), ...watching]);
  const afterMs = refusedAt.map((at) => at - acknowledged.atMs);
  refusedAfterMs.push(...afterMs);
  const slowest = Math.max(...afterMs);
  if (slowest >= REFUSED_WITHIN_MS) {
    throw new UnexpectedResult(`the last node refused it only ${milliseconds(slowest)} after`);
  }
  await expectEverywhere(pods, { token }, refusal);
  account.seen(`refused on all ${pods.length} nodes: ${refusal}`);
  const receipt = acknowledged.per_node;
  if (receipt !== undefined) {
    account.seen(`the receipt: applied by ${receipt.length} of ${acknowledged.nodes ?? 0} nodes`);
  }
  account.table([
    [
      "",
      "refused, after sending",
      receipt === undefined ? "refused, after acknowledgement" : "applied, by the receipt",
    ],
    ...pods.map(({ name }, index) => [
      name,
      milliseconds((refusedAt[index] ?? Infinity) - sentAtMs),
      receipt === undefined
        ? sinceAcknowledgement(afterMs[index] ?? Infinity)
        : milliseconds(receipt.find(({ node }) => node === name)?.ms ?? Infinity),
    ]),
  ]);
}

/** A node may refuse before the answer has arrived. */
function sinceAcknowledgement(ms: number): string {
  return ms < 0 ? "before it" : milliseconds(ms);
}

/** Expects this refusal; its answer acknowledges the revocation. */
async function expectRefreshRefused(
  { sessions }: DemoDeployment,
  refreshToken: string,
  code: string,
): Promise<Acknowledged> {
  const body = { refresh_token: refreshToken };
  const answer = await sessions.ask("POST", "/v1/refresh", { body });
  const found = problemSchema.safeParse(answer.body).data?.code ?? "no problem";
  if (answer.status !== 401 || found !== code) {
    throw new UnexpectedResult(
      `the refresh was answered ${answer.status} ${found}, not 401 ${code}`,
    );
  }
  return { atMs: answer.atMs };
}
