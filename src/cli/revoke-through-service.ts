/** `sekisho revoke` through the session service: it decides, records, publishes and answers. */
import { z } from "zod";
import type { ServiceAddress } from "./operator-config.js";
import { revocationAnswerSchema, unconfirmedNodeSchema } from "../revocation-log/api-answers.js";
import type { Revocation } from "../revocation-log/entry.js";
import { EXIT, type ExitCode } from "../runtime/exit-codes.js";
import { tellReceipt } from "./revoke-answer.js";
import { askService } from "./sessions-request.js";

/** The longest wait for a receipt that the service allows. */
const SERVICE_WAIT_MAX_MS = 10_000;

const unconfirmedSchema = unconfirmedNodeSchema
  // A newer service may know more reasons.
  .extend({ reason: unconfirmedNodeSchema.shape.reason.catch(undefined) })
  .transform(({ node, max_staleness_ms: maxStalenessMs, on_stale: onStale, reason }) => ({
    node,
    maxStalenessMs,
    onStale,
    reason,
  }));

const answerSchema = revocationAnswerSchema
  .pick({ published: true, code: true, per_node: true })
  .extend({
    event_ids: revocationAnswerSchema.shape.event_ids.min(1),
    pending: z.array(unconfirmedSchema).optional(),
    silent: z.array(unconfirmedSchema).optional(),
  });

export interface ServiceRevocation {
  /** Of a user: everything; the service knows the epoch. */
  readonly revocation: Extract<Revocation, { readonly kind: "session_revoked" | "user_revoked" }>;
  readonly reason: string | undefined;
  /** undefined: do not wait for a receipt. */
  readonly waitMs: number | undefined;
  readonly json: boolean;
}

export async function revokeThroughService(
  service: ServiceAddress,
  { revocation, reason, waitMs, json }: ServiceRevocation,
): Promise<ExitCode> {
  if (revocation.user === undefined) {
    process.stderr.write(
      "sekisho revoke: the session service needs the session's user: add --user\n",
    );
    return EXIT.usage;
  }
  const answer = await askService(
    service,
    requestFor(revocation, revocation.user, { reason, waitMs }),
  );
  if (!answer.ok) {
    process.stderr.write(`sekisho revoke: ${answer.message}\n`);
    return EXIT.failed;
  }
  const parsed = answerSchema.safeParse(answer.body);
  if (!parsed.success) {
    process.stderr.write(
      "sekisho revoke: the session service's answer is not understood: is it another version?\n",
    );
    return EXIT.failed;
  }
  if (json) process.stdout.write(`${JSON.stringify(answer.body)}\n`);
  return report(parsed.data, { waited: waitMs !== undefined, quiet: json });
}

function report(
  answer: z.infer<typeof answerSchema>,
  { waited, quiet }: { readonly waited: boolean; readonly quiet: boolean },
): ExitCode {
  const { published, code, event_ids: eventIds, per_node: applied, pending, silent } = answer;
  if (!published) {
    if (quiet) return EXIT.failed;
    process.stderr.write(
      `Ended in the database (${eventIds.join(", ")}), but not yet published: ${code ?? "unknown"}.\n` +
        "The session service keeps trying; until then nodes allow the tokens already issued.\n",
    );
    return EXIT.failed;
  }
  const known = applied !== undefined && pending !== undefined && silent !== undefined;
  const receipt = known ? { applied, pending, silent } : ("unknown" as const);
  if (!quiet) {
    process.stdout.write(`Ended and published (${eventIds.join(", ")}).\n`);
    if (waited) tellReceipt(receipt);
  }
  if (!waited) return EXIT.done;
  return receipt === "unknown" || receipt.pending.length > 0 ? EXIT.unconfirmed : EXIT.done;
}

function requestFor(
  revocation: ServiceRevocation["revocation"],
  user: string,
  { reason, waitMs }: Pick<ServiceRevocation, "reason" | "waitMs">,
): Parameters<typeof askService>[1] {
  const [tenant, whose] = [revocation.tenant, user].map(encodeURIComponent);
  const userPath = `/v1/admin/tenants/${tenant}/users/${whose}`;
  const query = new URLSearchParams({
    wait_ms: String(Math.min(waitMs ?? 0, SERVICE_WAIT_MAX_MS)),
  });
  if (revocation.kind === "session_revoked") {
    if (reason !== undefined) query.set("reason", reason);
    const session = encodeURIComponent(revocation.session);
    return { method: "DELETE", path: `${userPath}/sessions/${session}?${query.toString()}` };
  }
  const body = reason === undefined ? {} : { reason };
  return { method: "POST", path: `${userPath}/revoke-all?${query.toString()}`, body };
}
