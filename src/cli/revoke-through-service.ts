/** `sekisho revoke` through the session service: it decides, records, publishes and answers. */
import { z } from "zod";
import type { ServiceAddress } from "./operator-config.js";
import { revocationAnswerSchema, unconfirmedNodeSchema } from "../revocation-log/api-answers.js";
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

/** What the service is asked for: it knows epochs and takes the present time by itself. */
export type ServiceAct =
  | {
      readonly kind: "session_revoked";
      readonly tenant: string;
      readonly user: string;
      readonly session: string;
    }
  | { readonly kind: "user_revoked"; readonly tenant: string; readonly user: string }
  | { readonly kind: "token_revoked"; readonly tenant: string; readonly token: string }
  /** `tenant` undefined: in all tenants. */
  | {
      readonly kind: "client_revoked";
      readonly tenant: string | undefined;
      readonly client: string;
    }
  | { readonly kind: "tenant_revoked"; readonly tenant: string }
  | {
      readonly kind: "key_revoked" | "key_revocation_lifted";
      readonly issuer: string;
      readonly thumbprint: string;
    }
  | { readonly kind: "all_revoked" };

export interface ServiceRevocation {
  readonly act: ServiceAct;
  readonly reason: string | undefined;
  /** undefined: do not wait for a receipt. */
  readonly waitMs: number | undefined;
  readonly json: boolean;
}

export async function revokeThroughService(
  service: ServiceAddress,
  { act, reason, waitMs, json }: ServiceRevocation,
): Promise<ExitCode> {
  const answer = await askService(service, requestFor(act, { reason, waitMs }));
  if (!answer.ok) {
    process.stderr.write(`sekisho revoke: ${answer.message}\n`);
    return EXIT.failed;
  }
  if (act.kind === "key_revocation_lifted") {
    process.stdout.write(json ? `${JSON.stringify({ lifted: true })}\n` : LIFTED);
    return EXIT.done;
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

const LIFTED =
  "Lifted: the key's revocation is not published again. Nodes accept the key once the log has forgotten " +
  "it:\nafter the longest lifetime of a token, at the latest.\n";

function requestFor(
  act: ServiceAct,
  { reason, waitMs }: Pick<ServiceRevocation, "reason" | "waitMs">,
): Parameters<typeof askService>[1] {
  const wait_ms = String(Math.min(waitMs ?? 0, SERVICE_WAIT_MAX_MS));
  const why = reason === undefined ? {} : { reason };
  if (act.kind === "session_revoked") {
    const query = new URLSearchParams({ wait_ms, ...why });
    const path = `${pathOf(act)}/sessions/${encodeURIComponent(act.session)}`;
    return { method: "DELETE", path: `${path}?${query.toString()}` };
  }
  const post = (path: string, body: object = {}) => {
    const query = act.kind === "key_revocation_lifted" ? "" : `?wait_ms=${wait_ms}`;
    return { method: "POST", path: `${path}${query}`, body: { ...body, ...why } } as const;
  };
  switch (act.kind) {
    case "token_revoked":
      return post(`${pathOf(act)}/tokens/revoke`, { token: act.token });
    case "key_revoked":
    case "key_revocation_lifted": {
      const { issuer, thumbprint } = act;
      const verb = act.kind === "key_revoked" ? "revoke" : "lift";
      return post(`/v1/admin/keys/${verb}`, { issuer, thumbprint });
    }
    default:
      return post(`${pathOf(act)}/revoke-all`);
  }
}

/** Of what the act concerns: a tenant, and a user or a client in it. */
function pathOf(named: {
  readonly kind: string;
  readonly tenant?: string | undefined;
  readonly user?: string;
  readonly client?: string;
}): string {
  const { tenant, user, client } = named;
  const parts = [
    ["tenants", tenant],
    ["users", user],
    ["clients", client],
  ] as const;
  const path = parts.flatMap(([of, id]) => (id === undefined ? [] : [of, encodeURIComponent(id)]));
  return ["/v1/admin", ...path].join("/");
}
