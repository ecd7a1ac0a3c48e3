/** What an administrator has to run where the service may not create its roles itself. */
import { escapeIdentifier, type Client } from "pg";
import { DatabaseError } from "./database.js";

/** Of `migrations/0001_roles.sql`. */
export const ROLES: readonly string[] = [
  ...["sekisho_tenant", "sekisho_operator", "sekisho_relay"],
  ...["sekisho_keys", "sekisho_purge", "sekisho_recovery"],
];

interface Found {
  readonly role: string;
  readonly there: boolean;
  readonly ours: boolean;
  readonly me: string;
}

const WHICH_ARE_THERE = `
  SELECT wanted AS role, oid IS NOT NULL AS there, current_user AS me,
    coalesce(pg_has_role(current_user, oid, CASE
      WHEN current_setting('server_version_num')::integer >= 160000 THEN 'SET' ELSE 'MEMBER' END),
      false) AS ours
  FROM unnest($1::text[]) WITH ORDINALITY AS list (wanted, place)
    LEFT JOIN pg_roles ON rolname = wanted
  ORDER BY place`;

/**
 * The error with the SQL for an administrator; undefined if the roles exist and the connecting role
 * may use each of them.
 */
export async function missingRoles(client: Client): Promise<DatabaseError | undefined> {
  const { rows } = await client.query<Found>(WHICH_ARE_THERE, [ROLES]);
  const absent = rows.filter(({ there }) => !there).map(({ role }) => role);
  const foreign = rows.filter(({ ours }) => !ours).map(({ role }) => role);
  const [first] = rows;
  if (first === undefined || foreign.length === 0) return undefined;
  const statements = [
    ...absent.map((role) => `CREATE ROLE ${role} NOLOGIN;`),
    `GRANT ${foreign.join(", ")} TO ${escapeIdentifier(first.me)};`,
  ];
  return new DatabaseError(
    "not_allowed",
    `database: the role ${first.me} may not create the roles that Sekisho uses. A server administrator has to run this once: ${statements.join(" ")}`,
  );
}
