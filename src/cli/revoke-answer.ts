/** What `sekisho revoke` prints: for people, or JSON for scripts. */
import { cutOffOf, type Revocation } from "../revocation-log/entry.js";
import type { PublishOutcome } from "../revocation-log/publisher.js";
import type { Receipt, UnconfirmedNode, UnconfirmedReason } from "../revocation-log/receipt.js";

export interface RevocationAnswer {
  readonly eventId: string;
  readonly revocation: Revocation;
  readonly outcome: PublishOutcome;
  /** undefined: not requested; `unknown`: Redis became unavailable during the wait. */
  readonly receipt: Receipt | "unknown" | undefined;
}

export function tellRevocation(answer: RevocationAnswer, json: boolean): void {
  if (json) process.stdout.write(`${JSON.stringify(answerForScripts(answer))}\n`);
  else tellPeople(answer);
}

function answerForScripts({ eventId, outcome, receipt }: RevocationAnswer): object {
  if (!outcome.published) {
    const { code, message } = outcome;
    return { published: false, acknowledged: false, event_id: eventId, code, message };
  }
  const { generation, seq } = outcome;
  const answer = { published: true, acknowledged: true, event_id: eventId, generation, seq };
  if (receipt === undefined) return answer;
  if (receipt === "unknown") return { ...answer, confirmed: false };
  const { applied } = receipt;
  const [pending, silent] = [receipt.pending.map(forScripts), receipt.silent.map(forScripts)];
  const nodes = applied.length + pending.length + silent.length;
  return { ...answer, confirmed: pending.length === 0, nodes, applied, pending, silent };
}

function tellPeople({ eventId, revocation, outcome, receipt }: RevocationAnswer): void {
  if (!outcome.published) {
    process.stderr.write(`sekisho revoke: not published: ${outcome.message}\n`);
    return;
  }
  process.stdout.write(
    `Published ${describe(revocation)} (entry ${outcome.seq}, ${eventId}).\n` +
      "Tokens already issued are now refused. End the session where users log in too, or they get\n" +
      "new tokens there.\n",
  );
  if (receipt !== undefined) tellReceipt(receipt);
}

/** Which nodes have applied it. `unknown`: Redis became unavailable during the wait. */
export function tellReceipt(receipt: Receipt | "unknown"): void {
  if (receipt === "unknown") {
    process.stderr.write(
      "Redis became unavailable during the wait: which nodes have applied it is unknown.\n",
    );
    return;
  }
  const { applied, pending, silent } = receipt;
  const slowest = Math.max(0, ...applied.map(({ ms }) => ms));
  const awaited = applied.length + pending.length;
  process.stdout.write(
    awaited === 0
      ? "No node follows this log now. Is SEKISHO_REDIS_URL the one that the nodes use?\n"
      : `Applied by ${applied.length}/${awaited} nodes in ${slowest} ms.\n`,
  );
  if (pending.length > 0) {
    process.stderr.write(`Not confirmed by: ${pending.map(withPolicy).join(", ")}\n`);
    const reasons = new Set(pending.map(({ reason }) => reason));
    if (reasons.has("former_log")) process.stderr.write(FORMER);
    if (FORGED.some((reason) => reasons.has(reason))) process.stderr.write(FORGED_ADVICE);
  }
  if (silent.length > 0) {
    process.stdout.write(`Silent, and stale if alive: ${silent.map(withPolicy).join(", ")}\n`);
  }
}

const FORMER =
  "A node on a former log may still allow what was revoked here: point it at this Redis, or retire the " +
  "former log\n(`sekisho log retire`).\n";

const FORGED = ["not_delivered", "row_conflict", "row_missing"] as const;
const FORGED_ADVICE =
  "Another process writes or removes rows of nodes in Redis: if this lasts, a node, or another holder of " +
  "its\nRedis user, is compromised.\n";

const WHY: Readonly<Record<UnconfirmedReason, string>> = {
  former_log: "on a former log",
  not_delivered: "its row says applied, but Redis has not delivered the entry to it",
  row_conflict: "its row contradicts an earlier one",
  row_missing: "its row in Redis is missing",
};

function forScripts({ node, maxStalenessMs, onStale, reason }: UnconfirmedNode): object {
  return { node, max_staleness_ms: maxStalenessMs, on_stale: onStale, reason };
}

/** The node's policy once it is stale, for tokens that it does not know to be revoked. */
function withPolicy({ node, maxStalenessMs, onStale, reason }: UnconfirmedNode): string {
  const why = reason === undefined ? [] : [WHY[reason]];
  const policy = onStale === undefined ? [] : [`after ${maxStalenessMs} ms: ${onStale}`];
  return `${node} (${[...why, ...policy].join("; ")})`;
}

function describe(revocation: Revocation): string {
  const issuedBefore = new Date((cutOffOf(revocation) ?? 0) * 1000).toISOString();
  switch (revocation.kind) {
    case "session_revoked":
      return `the end of session ${revocation.session} of tenant ${revocation.tenant}`;
    case "user_revoked": {
      const { tenant, user, epoch } = revocation;
      if (epoch !== undefined) return `epoch ${epoch} of user ${user} of tenant ${tenant}`;
      return `the end of what user ${user} of tenant ${tenant} was issued before ${issuedBefore}`;
    }
    case "token_revoked":
      return `the end of one token of tenant ${revocation.tenant}`;
    case "client_revoked": {
      const { tenant, client } = revocation;
      const where = tenant === undefined ? "all tenants" : `tenant ${tenant}`;
      return `the end of what client ${client} was issued before ${issuedBefore} in ${where}`;
    }
    case "key_revoked":
      return `the end of what the key ${revocation.thumbprint} of ${revocation.issuer} signs`;
    case "tenant_revoked":
      return `the end of what tenant ${revocation.tenant} was issued before ${issuedBefore}`;
    case "all_revoked":
      return `the end of every token issued before ${issuedBefore}`;
  }
}
