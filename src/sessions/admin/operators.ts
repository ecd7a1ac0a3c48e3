import { OPERATORS_TENANT, type AdminDependencies } from "./admin-act.js";
import { enrol } from "./users.js";

export type CreateOperatorOutcome =
  | { readonly kind: "created"; readonly userId: string; readonly oneTimePassword: string }
  | { readonly kind: "exists"; readonly what: "user_id" | "login" };

/**
 * Makes an operator from the command line, where nobody is logged in: the first one, or another one
 * when all the others are locked out. `actor`: as in the audit trail, `cli:<name>`.
 */
export async function createOperator(
  dependencies: AdminDependencies,
  { login, actor }: { readonly login: string; readonly actor: string },
): Promise<CreateOperatorOutcome> {
  const act = { actor, reason: undefined, address: undefined };
  // Whoever may run commands on the database has no session to be ended.
  const outcome = await enrol(dependencies, { act, caller: undefined }, OPERATORS_TENANT, {
    login,
    role: "operator",
  });
  if (outcome.kind === "exists") return outcome;
  if (outcome.kind !== "created" || outcome.oneTimePassword === undefined) {
    throw new Error(`an operator could not be made: ${outcome.kind}`);
  }
  return {
    kind: "created",
    userId: outcome.user.user,
    oneTimePassword: outcome.oneTimePassword,
  };
}
