/**
 * Attacks on the separation of tenants and of roles, generated over whatever tables there are: one
 * that is added later without policies, or without rows to attack here, fails these tests.
 */
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { sql } from "drizzle-orm";
import { z } from "zod";

import type { Database } from "../../src/sessions/database/database.js";
import { DATABASES, type StartedDatabase } from "../support/databases.js";
import {
  asOwner,
  attempt,
  ROLES,
  rowsOf,
  scopeOf,
  seedShared,
  seedTenant,
  type Role,
} from "../support/row-security.js";

const A = { role: "tenant", tenant: "a" } as const;
const NOBODY = { role: "tenant", tenant: "" } as const;

/** Who may do what to which table; columns where it is not all of them. Everything else is refused. */
const ALLOWED: Readonly<Record<Role, Readonly<Record<string, string>>>> = {
  tenant: {
    tenants: "SELECT",
    users: "INSERT SELECT UPDATE",
    credentials: "INSERT SELECT UPDATE",
    sessions: "INSERT SELECT UPDATE",
    refresh_tokens: "DELETE INSERT SELECT UPDATE",
    revocations: "INSERT SELECT",
    audit: "INSERT SELECT",
    cut_offs: "INSERT SELECT UPDATE",
    revoked_keys: "INSERT SELECT UPDATE",
    login_failures: "DELETE INSERT SELECT UPDATE",
    log_records: "SELECT(generation,partition,searched_at,searched_timeline)",
  },
  operator: { tenants: "INSERT SELECT", audit: "INSERT" },
  relay: {
    revocations: "INSERT SELECT UPDATE",
    users: "SELECT(tenant_id,user_epoch,user_id) UPDATE(user_epoch)",
    sessions: "SELECT(created_at,ended_at,session_id,tenant_id,user_id) UPDATE(ended_at,ended_by)",
    log_records: "INSERT SELECT UPDATE",
    log_nodes: "DELETE INSERT SELECT UPDATE",
    cut_offs: "INSERT SELECT UPDATE",
    revoked_keys: "INSERT SELECT UPDATE",
    audit: "INSERT",
  },
  keys: { signing_keys: "DELETE INSERT SELECT UPDATE", audit: "INSERT" },
  purge: {
    sessions: "DELETE SELECT",
    refresh_tokens: "DELETE SELECT",
    revocations: "DELETE SELECT",
    login_failures: "DELETE SELECT",
  },
  recovery: {
    cut_offs: "INSERT SELECT UPDATE",
    revocations: "INSERT",
    users: "SELECT(tenant_id,user_epoch,user_id) UPDATE(user_epoch)",
    sessions:
      "SELECT(created_at,ended_at,last_used_at,session_id,tenant_id,user_id) UPDATE(ended_at,ended_by)",
    log_records: "INSERT SELECT UPDATE",
    audit: "INSERT",
  },
};

const GRANTED = `
  SELECT replace(grantee, 'sekisho_', '') AS role, relation, string_agg(may, ' ' ORDER BY may) AS may FROM (
    SELECT coalesce(r.rolname, 'public') AS grantee, c.relname AS relation, a.privilege_type AS may
    FROM pg_class c CROSS JOIN aclexplode(c.relacl) a LEFT JOIN pg_roles r ON r.oid = a.grantee
    WHERE c.relnamespace = 'sekisho'::regnamespace AND a.grantee <> c.relowner
    UNION ALL
    SELECT coalesce(r.rolname, 'public'), c.relname,
      a.privilege_type || '(' || string_agg(t.attname, ',' ORDER BY t.attname) || ')'
    FROM pg_class c JOIN pg_attribute t ON t.attrelid = c.oid CROSS JOIN aclexplode(t.attacl) a
      LEFT JOIN pg_roles r ON r.oid = a.grantee
    WHERE c.relnamespace = 'sekisho'::regnamespace AND a.grantee <> c.relowner
    GROUP BY r.rolname, c.relname, a.privilege_type
  ) granted GROUP BY 1, 2`;

interface Table {
  readonly name: string;
  readonly columns: readonly string[];
  /** Those that a statement may write: not the ones that the database counts itself. */
  readonly writable: readonly string[];
  readonly ofTenants: boolean;
}

async function findTables(database: Database): Promise<readonly Table[]> {
  const rows = await asOwner(database, (queries) =>
    rowsOf(
      queries,
      `SELECT table_name::text AS name, column_name::text AS column, is_identity::text AS counted
       FROM information_schema.columns WHERE table_schema = 'sekisho' ORDER BY ordinal_position`,
    ),
  );
  return [...new Set(rows.map(({ name }) => String(name)))].map((name) => {
    const own = rows.filter((row) => row["name"] === name);
    const columns = own.map(({ column }) => String(column));
    const writable = own
      .filter(({ counted }) => counted === "NO")
      .map((row) => String(row["column"]));
    return { name, columns, writable, ofTenants: columns.includes("tenant_id") };
  });
}

const onlyRowSchema = z.tuple([z.object({ r: z.record(z.string(), z.unknown()) })]);
const onlyRow = (rows: unknown) => onlyRowSchema.parse(rows)[0].r;

describe.each(DATABASES)("on $name", ({ name: databaseName, start }) => {
  let started: StartedDatabase;
  let database: Database;
  let tables: readonly Table[];
  let ofTenants: readonly Table[];
  beforeAll(async () => {
    started = await start();
    ({ database } = started);
    tables = await findTables(database);
    ofTenants = tables.filter((table) => table.ofTenants);
    await seedTenant(database, "a");
    await seedTenant(database, "bb");
    await seedShared(database);
  });
  afterAll(async () => {
    await started.stop();
  });

  const everythingOf = async (tenant: string) =>
    database.transaction({ role: "tenant", tenant }, async (queries) => {
      const found: Record<string, unknown> = {};
      for (const { name } of ofTenants) {
        found[name] = await rowsOf(queries, `SELECT to_jsonb(t) AS r FROM sekisho.${name} t`);
      }
      return found;
    });

  /** A row of A's that says it were B's. */
  const forged = ({ name, writable }: Table, from = "a") => {
    const values = writable.map((column) => (column === "tenant_id" ? "'bb'" : column));
    return `INSERT INTO sekisho.${name} (${writable.join(", ")})
      SELECT ${values.join(", ")} FROM sekisho.${name} WHERE tenant_id = '${from}' RETURNING 1`;
  };

  test("every table enables and forces row security, and has a row here to attack", async () => {
    const found = await asOwner(database, (queries) =>
      rowsOf(
        queries,
        `SELECT relname::text AS name, relkind::text AS kind, relrowsecurity AND relforcerowsecurity AS secured
         FROM pg_class WHERE relnamespace = 'sekisho'::regnamespace AND relkind NOT IN ('i', 'S')`,
      ),
    );
    expect(found).toHaveLength(tables.length);
    for (const one of found) {
      expect(one).toEqual({ name: one["name"], kind: "r", secured: true });
    }
    for (const tenant of ["a", "bb"]) {
      const rows = Object.entries(await everythingOf(tenant));
      expect(rows.filter(([, own]) => !Array.isArray(own) || own.length !== 1)).toEqual([]);
    }
  });

  test("no function of the schema acts with its owner's rights", async () => {
    const acting = await asOwner(database, (queries) =>
      rowsOf(
        queries,
        "SELECT proname FROM pg_proc WHERE pronamespace = 'sekisho'::regnamespace AND prosecdef",
      ),
    );
    expect(acting).toEqual([]);
  });

  test("a tenant neither sees nor changes another one's rows", async () => {
    const before = await everythingOf("bb");
    for (const { name, writable } of ofTenants) {
      const where = `FROM sekisho.${name} WHERE tenant_id = 'bb'`;
      const set = `UPDATE sekisho.${name} SET`;
      const harmless = [0, "not_allowed"];
      expect([name, await attempt(database, A, `SELECT 1 ${where}`)]).toEqual([name, 0]);
      const everything = await attempt(database, A, `SELECT 1 FROM sekisho.${name}`);
      expect([name, everything]).toEqual([name, 1]);
      const attacks = [
        `SELECT 1 ${where} FOR UPDATE`,
        `SELECT 1 ${where} FOR SHARE`,
        `DELETE ${where} RETURNING 1`,
        ...writable.map(
          (column) => `${set} ${column} = ${column} WHERE tenant_id = 'bb' RETURNING 1`,
        ),
      ];
      for (const attack of attacks) {
        const outcome = await attempt(database, A, attack);
        expect([attack, harmless.includes(outcome)]).toEqual([attack, true]);
      }
    }
    expect(await everythingOf("bb")).toEqual(before);
  });

  test("a tenant cannot make another one's rows, nor give its own away", async () => {
    const before = [await everythingOf("a"), await everythingOf("bb")];
    for (const table of ofTenants) {
      const { name } = table;
      for (const attack of [
        forged(table),
        forged(table).replace("RETURNING", "ON CONFLICT DO NOTHING RETURNING"),
        `UPDATE sekisho.${name} SET tenant_id = 'bb' RETURNING 1`,
        `UPDATE sekisho.${name} SET tenant_id = 'bb' WHERE tenant_id = 'a' RETURNING 1`,
      ]) {
        expect([attack, await attempt(database, A, attack)]).toEqual([attack, "not_allowed"]);
      }
    }
    expect([await everythingOf("a"), await everythingOf("bb")]).toEqual(before);
  });

  test("without a tenant nothing is seen and nothing can be made", async () => {
    const rows = await everythingOf("bb");
    for (const { name, writable } of ofTenants) {
      const select = `SELECT 1 FROM sekisho.${name}`;
      expect([select, await attempt(database, NOBODY, select)]).toEqual([select, 0]);
      const copied = onlyRow(rows[name]);
      const columns = writable.join(", ");
      const act = database.transaction(NOBODY, (queries) =>
        rowsOf(
          queries,
          `INSERT INTO sekisho.${name} (${columns})
           SELECT ${columns} FROM jsonb_populate_record(NULL::sekisho.${name}, $::jsonb)`,
          [JSON.stringify(copied)],
        ),
      );
      await expect(act).rejects.toMatchObject({ code: "not_allowed" });
    }
  });

  test("a tenant that is set in one transaction is gone in the next", async () => {
    await database.transaction(A, (queries) =>
      queries.execute(sql`SELECT set_config('sekisho.tenant', 'bb', true)`),
    );
    expect(await attempt(database, NOBODY, "SELECT 1 FROM sekisho.users")).toBe(0);
    const left = await asOwner(database, (queries) =>
      rowsOf(queries, "SELECT current_setting('sekisho.tenant', true) AS tenant"),
    );
    expect(left).toEqual([{ tenant: "" }]);
  });

  test("a row cannot refer to another tenant's", async () => {
    const keys = await asOwner(database, (queries) =>
      rowsOf(
        queries,
        `SELECT conname::text AS name, a.attname::text AS own, f.attname::text AS foreign_one
         FROM pg_constraint c CROSS JOIN LATERAL unnest(c.conkey, c.confkey) AS k (own, theirs)
           JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.own
           JOIN pg_attribute f ON f.attrelid = c.confrelid AND f.attnum = k.theirs
         WHERE c.contype = 'f' AND c.connamespace = 'sekisho'::regnamespace`,
      ),
    );
    const names = new Set(keys.map(({ name }) => name));
    const within = keys.filter(
      (key) => key["own"] === "tenant_id" && key["foreign_one"] === "tenant_id",
    );
    expect(names.size).toBeGreaterThan(3);
    expect(new Set(within.map(({ name }) => name))).toEqual(names);
    const steal = `INSERT INTO sekisho.sessions SELECT (jsonb_populate_record(s,
      '{"session_id": "stolen", "user_id": "user-of-bb"}')).* FROM sekisho.sessions s`;
    expect(await attempt(database, A, steal)).toBe("missing_reference");
  });

  test("a tenant other than the operators' neither sees nor changes revoked keys", async () => {
    const insert = `INSERT INTO sekisho.revoked_keys (issuer, thumbprint, actor, revoked_at)
      VALUES ('i', 't', 'a', now()) RETURNING 1`;
    const select = "SELECT 1 FROM sekisho.revoked_keys";
    const update = "UPDATE sekisho.revoked_keys SET lifted_at = now() RETURNING 1";
    const operators = { role: "tenant", tenant: "sekisho" } as const;
    for (const scope of [A, NOBODY])
      expect(await attempt(database, scope, insert)).toBe("not_allowed");
    expect(await attempt(database, operators, insert)).toBe(1);
    for (const statement of [select, update]) {
      for (const scope of [A, NOBODY]) expect(await attempt(database, scope, statement)).toBe(0);
      expect(await attempt(database, operators, statement)).toBe(1);
    }
  });

  test("each role has the rights that are listed here, and nobody else has any", async () => {
    const rows = await asOwner(database, (queries) => rowsOf(queries, GRANTED));
    const granted: Record<string, Record<string, unknown>> = {};
    for (const { role, relation, may } of rows) {
      (granted[String(role)] ??= {})[String(relation)] = may;
    }
    expect(granted).toEqual(ALLOWED);
  });

  test("each role is refused whatever it was not given", async () => {
    for (const role of ROLES) {
      for (const { name, writable } of tables) {
        const may = ALLOWED[role][name] ?? "";
        const [first = ""] = writable;
        const attacks: Readonly<Record<string, string>> = {
          SELECT: `SELECT * FROM sekisho.${name}`,
          INSERT: `INSERT INTO sekisho.${name} (${first}) VALUES (NULL)`,
          UPDATE: `UPDATE sekisho.${name} SET ${first} = NULL`,
          DELETE: `DELETE FROM sekisho.${name}`,
          TRUNCATE: `TRUNCATE sekisho.${name} CASCADE`,
          OWN: `ALTER TABLE sekisho.${name} DISABLE ROW LEVEL SECURITY`,
          DROP: `DROP TABLE sekisho.${name} CASCADE`,
        };
        for (const [right, attack] of Object.entries(attacks)) {
          if (new RegExp(`${right}( |$)`).test(may)) continue;
          const outcome = await attempt(database, scopeOf(role, "a"), attack);
          expect([role, attack, outcome]).toEqual([role, attack, "not_allowed"]);
        }
      }
    }
  });

  test("none of the roles may do what row security does not apply to, or log in", async () => {
    const found = await asOwner(database, (queries) =>
      rowsOf(
        queries,
        `SELECT rolname::text AS name, rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolcanlogin
           OR rolreplication AS mighty, (SELECT count(*)::integer FROM pg_auth_members WHERE member = r.oid) AS memberships
         FROM pg_roles r WHERE rolname LIKE 'sekisho\\_%' ORDER BY rolname`,
      ),
    );
    const expected = [...ROLES].sort().map((role) => {
      return { name: `sekisho_${role}`, mighty: false, memberships: 0 };
    });
    expect(found).toEqual(expected);
  });

  test("nobody changes or removes what is in the audit trail, not even its owner", async () => {
    const before = await everythingOf("a");
    const attacks = [
      "UPDATE sekisho.audit SET actor = 'nobody'",
      "DELETE FROM sekisho.audit",
      "DELETE FROM sekisho.audit WHERE tenant_id = 'a'",
      "TRUNCATE sekisho.audit",
      `INSERT INTO sekisho.audit OVERRIDING SYSTEM VALUE SELECT * FROM sekisho.audit
       ON CONFLICT (tenant_id, audit_id) DO UPDATE SET actor = 'nobody'`,
    ];
    for (const attack of attacks) {
      for (const role of ROLES) {
        expect(await attempt(database, scopeOf(role, "a"), attack)).toBe("not_allowed");
      }
      const asItsOwner = asOwner(database, (queries) => queries.execute(sql.raw(attack)));
      await expect(asItsOwner).rejects.toThrow("the audit trail is only ever added to");
    }
    expect(await everythingOf("a")).toEqual(before);
  });

  if (databaseName === "PostgreSQL") {
    test("the role that the service connects as sees no row by itself", async () => {
      await asOwner(database, async (queries) => {
        const [me] = await rowsOf(
          queries,
          "SELECT rolsuper OR rolbypassrls AS mighty FROM pg_roles WHERE rolname = current_user",
        );
        expect(me).toEqual({ mighty: false });
        await queries.execute(sql`SELECT set_config('sekisho.tenant', 'a', true)`);
        for (const { name } of tables) {
          expect([name, await rowsOf(queries, `SELECT 1 FROM sekisho.${name}`)]).toEqual([
            name,
            [],
          ]);
        }
      });
      for (const table of ofTenants) {
        const { name, writable } = table;
        const values = writable.map((column) => (column === "tenant_id" ? "'a'" : "NULL"));
        const insert = `INSERT INTO sekisho.${name} (${writable.join(", ")}) VALUES (${values.join(", ")})`;
        const act = asOwner(database, (queries) => queries.execute(sql.raw(insert)));
        await expect(act).rejects.toMatchObject({ code: "not_allowed" });
      }
    });
  }
});
