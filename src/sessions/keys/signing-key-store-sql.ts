import { eq, inArray, sql } from "drizzle-orm";
import { z } from "zod";
import { recordAudit } from "../audit/audit-trail-sql.js";
import type { Database } from "../database/database.js";
import type { Queries } from "../database/queries-sql.js";
import { signingKeys } from "../database/schema-sql.js";
import { ALGORITHMS } from "../../tokens/algorithms.js";
import { publicJwkSchema } from "./public-jwk.js";
import { SigningKeyError } from "./signing-key-error.js";
import type { SigningKeyChanges, SigningKeyStore, StoredSigningKey } from "./signing-key-store.js";

/** Keys belong to no tenant; their audit rows are in the operators' trail. */
const OPERATORS_TENANT = "sekisho";
const ACTOR = "sekisho";

const scope = { role: "keys" } as const;

export class SqlSigningKeyStore implements SigningKeyStore {
  readonly #database: Pick<Database, "transaction">;

  constructor(database: Pick<Database, "transaction">) {
    this.#database = database;
  }

  load(): Promise<readonly StoredSigningKey[]> {
    return this.#database.transaction(scope, selectAll);
  }

  change(
    atMs: number,
    decide: (stored: readonly StoredSigningKey[]) => SigningKeyChanges,
  ): Promise<readonly StoredSigningKey[]> {
    return this.#database.transaction(scope, async (queries) => {
      // Excludes other changes but not readers. Row locks are not enough: at the first start there
      // is no row.
      await queries.execute(sql`LOCK TABLE ${signingKeys} IN SHARE ROW EXCLUSIVE MODE`);
      await applyChanges(queries, atMs, decide(await selectAll(queries)));
      return selectAll(queries);
    });
  }
}

async function applyChanges(
  queries: Queries,
  atMs: number,
  { create, extend, reseal, remove }: SigningKeyChanges,
): Promise<void> {
  if (remove.length > 0) await queries.delete(signingKeys).where(inArray(signingKeys.kid, remove));
  for (const { kid, publishedUntilMs } of extend) {
    const publishedUntil = new Date(publishedUntilMs);
    await queries.update(signingKeys).set({ publishedUntil }).where(eq(signingKeys.kid, kid));
  }
  for (const { kid, sealedPrivateKey: privateKey } of reseal) {
    await queries.update(signingKeys).set({ privateKey }).where(eq(signingKeys.kid, kid));
  }
  if (create.length > 0) await queries.insert(signingKeys).values(create.map(rowOf));
  await recordAudit(
    queries,
    ...create.map(({ kid, algorithm, signsFromMs }) => ({
      tenant: OPERATORS_TENANT,
      atMs,
      kind: "signing_key_created" as const,
      outcome: "done" as const,
      actor: ACTOR,
      detail: { kid, algorithm, signs_from: new Date(signsFromMs).toISOString() },
    })),
  );
}

function rowOf(key: StoredSigningKey): typeof signingKeys.$inferInsert {
  return {
    kid: key.kid,
    algorithm: key.algorithm,
    publicJwk: key.publicJwk,
    privateKey: key.sealedPrivateKey,
    createdAt: new Date(key.createdAtMs),
    signsFrom: new Date(key.signsFromMs),
    signsUntil: new Date(key.signsUntilMs),
    publishedUntil: new Date(key.publishedUntilMs),
  };
}

const describedSchema = z.object({ algorithm: z.enum(ALGORITHMS), publicJwk: publicJwkSchema });

async function selectAll(queries: Queries): Promise<readonly StoredSigningKey[]> {
  const rows = await queries.select().from(signingKeys);
  return rows.map((row) => {
    const described = describedSchema.safeParse(row);
    if (!described.success) {
      const message = `the signing key ${row.kid} is stored in a form that this version cannot read`;
      throw new SigningKeyError("key_unreadable", message);
    }
    return {
      kid: row.kid,
      ...described.data,
      sealedPrivateKey: row.privateKey,
      createdAtMs: row.createdAt.getTime(),
      signsFromMs: row.signsFrom.getTime(),
      signsUntilMs: row.signsUntil.getTime(),
      publishedUntilMs: row.publishedUntil.getTime(),
    };
  });
}
