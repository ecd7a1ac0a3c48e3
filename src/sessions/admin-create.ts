/** `sekisho sessions admin create`: makes an operator with a one-time password. */
import { randomBytes, randomUUID } from "node:crypto";
import { OPERATORS_TENANT } from "./database/scope.js";
import { createOperator } from "./admin/operators.js";
import { systemClock } from "../runtime/clock.js";
import type { ConfigFault } from "../runtime/config/read-variables.js";
import { readMaintenanceConfig } from "./sessions-config.js";
import { DatabaseError, type Database } from "./database/database.js";
import { Argon2PasswordHasher } from "./passwords/password-hasher-argon2.js";
import { commandActor } from "../runtime/command-actor.js";
import { EXIT, type ExitCode } from "../runtime/exit-codes.js";
import { openDatabase } from "./open-database.js";

export async function createFirstOperator(
  env: NodeJS.ProcessEnv,
  unknown: readonly ConfigFault[],
  { login, json }: { readonly login: string; readonly json: boolean },
): Promise<ExitCode> {
  const config = readMaintenanceConfig(env, unknown);
  const hasher = new Argon2PasswordHasher();
  let db: Database | undefined;
  try {
    db = await openDatabase(config.database);
    await db.migrate();
    const parts = {
      db,
      hasher,
      randomBytes,
      clock: systemClock,
      newEventId: randomUUID,
      newUserId: randomUUID,
    };
    const outcome = await createOperator(parts, { login, actor: commandActor() });
    if (outcome.kind === "exists") {
      process.stderr.write(
        `sekisho sessions admin create: an operator ${login} already exists; choose another --login\n`,
      );
      return EXIT.failed;
    }
    const { userId, oneTimePassword } = outcome;
    process.stdout.write(
      json
        ? `${JSON.stringify({ tenant: OPERATORS_TENANT, user_id: userId, login, one_time_password: oneTimePassword })}\n`
        : `Created the operator ${login} in the tenant ${OPERATORS_TENANT}.\n` +
            `One-time password: ${oneTimePassword}\n` +
            "It works for one login, which must replace it (PUT /v1/me/password). It is not shown again.\n",
    );
    return EXIT.done;
  } catch (error) {
    if (!(error instanceof DatabaseError)) throw error;
    process.stderr.write(`sekisho sessions admin create: ${error.message}\n`);
    return EXIT.failed;
  } finally {
    await hasher.close();
    await db?.close();
  }
}
