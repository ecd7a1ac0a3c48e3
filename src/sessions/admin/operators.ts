import { OPERATORS_TENANT } from "../database/scope.js";
import type { AdminDependencies } from "./admin-act.js";
import { enrol } from "./users.js";

export type CreateOperatorOutcome =
  | { readonly kind: "created"; readonly userId: string; readonly oneTimePassword: string }
  | { readonly kind: "exists"; readonly what: "user_id" | "login" };

/**
 * Makes an operator from the command line, where there is no logged-in caller: the first one, or
 * another when all the others are locked out. `actor`: as in the audit trail, `cli:<name>`.
 */
export async function createOperator(
  dependencies: AdminDependencies,
  { login, actor }: { readonly login: string; readonly actor: string },
): Promise<CreateOperatorOutcome> {
  const act = { actor, reason: undefined, address: undefined };
  // The command has database access instead of a session that could be revoked.
  const outcome = await enrol(dependencies, { act, caller: undefined }, OPERATORS_TENANT, {
    login,
    role: "operator",
  });
  if (outcome.kind === "exists") return outcome;
  if (outcome.kind !== "created" || outcome.oneTimePassword === undefined) {
    throw new Error(`the operator could not be created: ${outcome.kind}`);
  }
  return {
    kind: "created",
    userId: outcome.user.user,
    oneTimePassword: outcome.oneTimePassword,
  };
}
