import { z } from "zod";

import type { Account } from "./account.js";
import type { DemoDeployment } from "./demo-deployment.js";

const ENTRIES_SHOWN = 12;

const auditSchema = z.object({
  entries: z.array(
    z.object({
      kind: z.string(),
      outcome: z.string(),
      reason: z.string().optional(),
      actor: z.string(),
      user_id: z.string().optional(),
      address: z.string().optional(),
    }),
  ),
});

/** Prints the latest entries of a tenant's audit trail, in order of time. */
export async function printAudit(
  { sessions, operator }: DemoDeployment,
  account: Account,
  tenant: string,
): Promise<void> {
  const path = `/v1/admin/tenants/${tenant}/audit?limit=${ENTRIES_SHOWN}`;
  account.request(`GET ${path}`);
  const answer = await sessions.ask("GET", path, { token: operator.accessToken });
  const { entries } = auditSchema.parse(answer.body);
  const operatorsName = `user:${operator.tenant}/${operator.user}`;
  const rows = entries.reverse().map((entry) => [
    entry.kind,
    entry.outcome,
    entry.user_id ?? "-",
    // A person's id is a UUID unless one was chosen.
    entry.actor === operatorsName ? `user:${operator.tenant}/${operator.login}` : entry.actor,
    entry.address ?? "-",
  ]);
  account.table([["what", "outcome", "whose", "by", "from"], ...rows], "left");
}
