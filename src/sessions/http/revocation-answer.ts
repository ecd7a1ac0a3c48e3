/** A revocation is answered with its receipt, with the fields of `sekisho revoke --json`. */
import type { DecidedRevocation } from "../../revocation-log/publisher.js";
import type { CallerEnded } from "../login/caller.js";
import type { Outbox, RevocationReceipt } from "../outbox/outbox.js";
import type { UnconfirmedNode } from "../../revocation-log/receipt.js";
import type { RevocationBody } from "./answer-schemas.js";
import { refused, type Refused } from "./route.js";

export interface AnsweredRevocation {
  /** 202: committed and certain to be published, but not in force yet. */
  readonly status: 200 | 202;
  readonly body: RevocationBody;
}

/** Publishes what was committed and waits for the nodes. Never rejects. */
export async function publishAndAnswer(
  outbox: Outbox,
  committed: readonly DecidedRevocation[],
  waitMs: number,
): Promise<AnsweredRevocation> {
  // Nothing was ended, so there is nothing to wait for.
  const receipt =
    committed.length === 0 ? { published: true } : await outbox.publish(committed, waitMs);
  const event_ids = committed.map(({ eventId }) => eventId);
  return { status: receipt.published ? 200 : 202, body: revocationBody(receipt, event_ids) };
}

/**
 * The answer to an act that ends sessions. Where it was done before, nothing is published again.
 * `ended`: undefined if there is no such session or user.
 */
export async function answerEnded(
  outbox: Outbox,
  ended:
    | { readonly committed: readonly DecidedRevocation[]; readonly repeatedBy?: string }
    | CallerEnded
    | undefined,
  waitMs: number,
): Promise<AnsweredRevocation | Refused> {
  if (ended === undefined) return refused("not_found");
  if (!("committed" in ended)) return refused("invalid_token");
  const { committed, repeatedBy: actor } = ended;
  const [earlier] = committed;
  if (actor === undefined || earlier === undefined) {
    return publishAndAnswer(outbox, committed, waitMs);
  }
  const receipt = await outbox.receiptAgain(earlier, { waitMs, actor });
  return {
    status: receipt.published ? 200 : 202,
    body: revocationBody(receipt, [earlier.eventId]),
  };
}

function revocationBody(
  { published, code, nodes }: RevocationReceipt,
  event_ids: string[],
): RevocationBody {
  const body: RevocationBody = {
    published,
    acknowledged: published,
    event_ids,
    ...(code === undefined ? {} : { code }),
  };
  if (nodes === undefined) return body;
  const { applied } = nodes;
  const pending = nodes.pending.map(nodeBody);
  const silent = nodes.silent.map(nodeBody);
  return {
    ...body,
    confirmed: published && pending.length === 0,
    nodes: applied.length + pending.length + silent.length,
    applied: applied.length,
    per_node: applied.map(({ node, ms }) => ({ node, ms })),
    pending,
    silent,
  };
}

function nodeBody({ node, maxStalenessMs, onStale, reason }: UnconfirmedNode) {
  return {
    node,
    ...(maxStalenessMs === undefined ? {} : { max_staleness_ms: maxStalenessMs }),
    ...(onStale === undefined ? {} : { on_stale: onStale }),
    ...(reason === undefined ? {} : { reason }),
  };
}
