/** The demo's steps, in the order in which they are told. Each checks what it says. */
import { describeAnswer } from "../client.js";
import type { Revocation } from "../../../src/revocation/entry.js";
import { NotAsTold, milliseconds } from "./account.js";
import type { Account } from "./account.js";
import {
  PATH,
  Traffic,
  expectAnswer,
  expectEverywhere,
  expectOnly,
  firstRefusal,
} from "./observe.js";
import type { Stage } from "./stage.js";

/** The promise: refused on every node within this time of the acknowledgement. */
const REFUSED_WITHIN_MS = 1_000;

/** One user with two devices at acme, and another one of the same name at globex. */
export interface Cast {
  readonly laptop: string;
  readonly phone: string;
  readonly namesake: string;
}

export interface Telling {
  readonly stage: Stage;
  readonly cast: Cast;
  readonly account: Account;
  /** Times from acknowledgement to refusal, of every node and revocation so far. */
  readonly refusedAfterMs: number[];
}

interface Step {
  readonly title: string;
  tell(telling: Telling): Promise<void>;
}

export async function castOf(stage: Stage): Promise<Cast> {
  const ann = { user: "ann", epoch: 0 };
  return {
    laptop: await stage.mint.mint({ ...ann, tenant: "acme", session: "ann-laptop" }),
    phone: await stage.mint.mint({ ...ann, tenant: "acme", session: "ann-phone" }),
    namesake: await stage.mint.mint({ ...ann, tenant: "globex", session: "ann-desk" }),
  };
}

export const STORY: readonly Step[] = [
  { title: "Ann is logged in at acme on two devices", tell: twoDevicesPass },
  { title: "Her phone is stolen: its session is revoked", tell: oneSessionIsRevoked },
  { title: "Her account is taken over: everything of hers is revoked", tell: theUserIsRevoked },
  { title: "Another Ann, at globex, has the same user id", tell: theNamesakePasses },
  { title: "A fourth node joins under traffic", tell: aNodeJoins },
  { title: "A client claims to be somebody else", tell: spoofedHeadersAreRemoved },
];

async function twoDevicesPass({ stage, cast, account }: Telling): Promise<void> {
  for (const device of ["laptop", "phone"] as const) {
    const answers = await expectEverywhere(stage.pods, { token: cast[device] }, "200");
    for (const { echo } of answers) {
      const seen = echo?.headers["x-auth-session-id"];
      if (seen !== `ann-${device}`) {
        throw new NotAsTold(`the API was told session ${seen ?? "(none)"}, not ann-${device}`);
      }
    }
    account.seen(`her ${device} passes on all ${stage.pods.length} nodes as session ann-${device}`);
  }
}

async function oneSessionIsRevoked(telling: Telling): Promise<void> {
  const { stage, cast, account } = telling;
  account.command("sekisho revoke session --tenant acme --session ann-phone");
  const revocation: Revocation = {
    kind: "session_revoked",
    tenant: "acme",
    session: "ann-phone",
    user: undefined,
  };
  await revokeAndWatch(telling, revocation, { token: cast.phone, refusal: "401 session_revoked" });
  await expectEverywhere(stage.pods, { token: cast.laptop }, "200");
  account.seen("her laptop goes on passing on all of them");
}

async function theUserIsRevoked(telling: Telling): Promise<void> {
  const { stage, cast, account } = telling;
  account.command("sekisho revoke user --tenant acme --user ann --epoch 1");
  const revocation: Revocation = {
    kind: "user_revoked",
    tenant: "acme",
    user: "ann",
    epoch: 1,
    issuedBefore: undefined,
  };
  const refusal = "401 user_epoch_superseded";
  await revokeAndWatch(telling, revocation, { token: cast.laptop, refusal });
  await expectEverywhere(stage.pods, { token: cast.phone }, "401 session_revoked");
  account.seen("her phone stays refused");
  const relogin = { tenant: "acme", user: "ann", session: "ann-again", epoch: 1 };
  const token = await stage.mint.mint(relogin);
  await expectEverywhere(stage.pods, { token }, "200");
  account.seen("when she logs in again, with the new epoch, she passes at once");
}

async function theNamesakePasses({ stage, cast, account }: Telling): Promise<void> {
  const answers = await expectEverywhere(stage.pods, { token: cast.namesake }, "200");
  account.seen(`she passes on all ${answers.length} nodes: users of two tenants are two users`);
}

async function aNodeJoins({ stage, cast, account }: Telling): Promise<void> {
  const running = stage.pods.map((pod) => ({
    name: pod.name,
    good: new Traffic(pod.client, cast.namesake),
    revoked: new Traffic(pod.client, cast.phone),
  }));
  let newborn: Traffic | undefined;
  const name = `node-${stage.pods.length + 1}`;
  const pod = await stage.addPod(name, (client) => {
    newborn = new Traffic(client, cast.phone);
  });
  expectAnswer(pod, await pod.client.get(PATH, { token: cast.phone }), "401 session_revoked");
  expectAnswer(
    pod,
    await pod.client.get(PATH, { token: cast.laptop }),
    "401 user_epoch_superseded",
  );
  expectAnswer(pod, await pod.client.get(PATH, { token: cast.namesake }), "200");
  account.seen(`${name} refuses what was revoked before it was born, and lets the others pass`);

  const early = (await newborn?.end()) ?? new Map<string, number>();
  // Until it has read the log it cannot know, and says so; what it never does is let it pass.
  const unready = ["503 revocations_stale", "503 keys_unavailable"];
  const asked = expectOnly(name, early, ["401 session_revoked", ...unready]);
  account.seen(`it was asked ${asked} times from its first moment on and let none pass`);

  let total = 0;
  for (const { name: whose, good, revoked } of running) {
    total += expectOnly(whose, await good.end(), ["200"]);
    total += expectOnly(whose, await revoked.end(), ["401 session_revoked"]);
  }
  account.seen(`meanwhile the others gave ${total} answers, each as before`);
}

async function spoofedHeadersAreRemoved({ stage, cast, account }: Telling): Promise<void> {
  const spoofed = {
    "X-Auth-Tenant-Id": "acme",
    "x-auth-user-id": "root",
    "x-auth-session-id": "forged",
  };
  const names = Object.keys(spoofed).map((name) => name.toLowerCase());
  for (const pod of stage.pods) {
    const known = await pod.client.get(PATH, { token: cast.namesake, headers: spoofed });
    const anonymous = await pod.client.get("/public/news", { headers: spoofed });
    const seen = [known, anonymous].map((answer) => {
      expectAnswer(pod, answer, "200");
      return names.map((name) => answer.echo?.headers[name] ?? "-").join(" ");
    });
    if (seen[0] !== "globex ann ann-desk" || seen[1] !== "- - -") {
      throw new NotAsTold(`the API behind ${pod.name} was told ${seen.join(" and ")}`);
    }
    const underscored = await pod.client.get("/public/news", {
      headers: { x_auth_user_id: "root" },
    });
    if (underscored.status !== 400) {
      throw new NotAsTold(`${pod.name} answered ${describeAnswer(underscored)}, not 400`);
    }
  }
  account.seen("with a token, the API is told whose it is, not what the client wrote");
  account.seen("without one, on a public route, it is told nothing");
  account.seen(
    "x_auth_user_id, which some frameworks take for x-auth-user-id, is refused with 400",
  );
}

/** Revokes while every node is being asked with the token, and tells how long each went on. */
async function revokeAndWatch(
  { stage, account, refusedAfterMs }: Telling,
  revocation: Revocation,
  watched: { readonly token: string; readonly refusal: string },
): Promise<void> {
  const { pods } = stage;
  await expectEverywhere(pods, { token: watched.token }, "200");
  const watching = pods.map((pod) => firstRefusal(pod, watched.token, watched.refusal));
  const [acknowledged, ...refusedAt] = await Promise.all([
    stage.log.revoke(revocation),
    ...watching,
  ]);
  const rows = pods.map((pod, index) => {
    const at = refusedAt[index] ?? Infinity;
    refusedAfterMs.push(at - acknowledged.atMs);
    return [pod.name, at - acknowledged.sentAtMs, at - acknowledged.atMs] as const;
  });
  const slowest = Math.max(...rows.map(([, , afterAcknowledged]) => afterAcknowledged));
  if (slowest >= REFUSED_WITHIN_MS) {
    throw new NotAsTold(`the last node refused it only ${milliseconds(slowest)} after`);
  }
  await expectEverywhere(pods, { token: watched.token }, watched.refusal);
  account.seen(`refused on all ${pods.length} nodes: ${watched.refusal}`);
  account.table([
    ["", "after sending", "after acknowledgement"],
    ...rows.map(([name, sent, ack]) => [name, milliseconds(sent), milliseconds(ack)]),
  ]);
}
