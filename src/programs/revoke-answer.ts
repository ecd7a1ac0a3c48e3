/** What `sekisho revoke` prints: for people, or JSON for scripts. */
import type { Revocation } from "../revocation/entry.js";
import type { PublishOutcome } from "../revocation/publisher.js";
import type { Receipt } from "../revocation/receipt.js";

export interface RevocationAnswer {
  readonly eventId: string;
  readonly revocation: Revocation;
  readonly outcome: PublishOutcome;
  /** undefined: nobody waited for one; `unknown`: Redis went away while waiting. */
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
  const { applied, pending, silent } = receipt;
  const nodes = applied.length + pending.length + silent.length;
  return { ...answer, confirmed: pending.length === 0, nodes, applied, pending, silent };
}

function tellPeople({ eventId, revocation, outcome, receipt }: RevocationAnswer): void {
  if (!outcome.published) {
    process.stderr.write(`sekisho revoke: not published: ${outcome.message}\n`);
    return;
  }
  process.stdout.write(`Published ${describe(revocation)} (entry ${outcome.seq}, ${eventId}).\n`);
  if (receipt === undefined) return;
  if (receipt === "unknown") {
    process.stderr.write(
      "Redis went away while waiting: which nodes have applied it is unknown.\n",
    );
    return;
  }
  const { applied, pending, silent } = receipt;
  const slowest = Math.max(0, ...applied.map(({ ms }) => ms));
  const awaited = applied.length + pending.length;
  process.stdout.write(
    awaited === 0
      ? "No node follows this log now.\n"
      : `Applied by ${applied.length}/${awaited} nodes in ${slowest} ms.\n`,
  );
  if (pending.length > 0) process.stderr.write(`Not confirmed by: ${pending.join(", ")}\n`);
  if (silent.length > 0) {
    process.stdout.write(
      `Silent: ${silent.join(", ")}. If such a node lives, it is stale and answers by its policy.\n`,
    );
  }
}

function describe(revocation: Revocation): string {
  const { tenant } = revocation;
  if (revocation.kind === "session_revoked") {
    return `the end of session ${revocation.session} of tenant ${tenant}`;
  }
  const { user, epoch, issuedBefore } = revocation;
  if (epoch !== undefined) return `epoch ${epoch} of user ${user} of tenant ${tenant}`;
  const time = new Date((issuedBefore ?? 0) * 1000).toISOString();
  return `the end of what user ${user} of tenant ${tenant} was issued before ${time}`;
}
