/**
 * Names for statements, so that PostgreSQL parses and plans each of them once per connection. The
 * service repeats the same few dozen statements, and planning was half of PostgreSQL's work.
 */
import type { Logger, Query } from "drizzle-orm";
import { NodePgDatabase, NodePgSession } from "drizzle-orm/node-postgres";
import {
  PgDialect,
  type PgPreparedQuery,
  type PreparedQueryConfig,
  type SelectedFieldsOrdered,
} from "drizzle-orm/pg-core";
import type { PoolClient } from "pg";
import type { Queries } from "./queries-sql.js";

/** Each connection keeps a plan for each name as long as it lives. */
const NAMES_MAX = 256;
/** Longer ones are batches, which hardly ever repeat. */
const TEXT_CHARS_MAX = 2000;

export class StatementNames {
  readonly #names = new Map<string, string>();
  readonly #max: number;

  constructor(max = NAMES_MAX) {
    this.#max = max;
  }

  /** Always the same for the same text, and unique to it; undefined: send it unnamed. */
  nameOf(text: string): string | undefined {
    const known = this.#names.get(text);
    if (known !== undefined) return known;
    if (this.#names.size >= this.#max || text.length > TEXT_CHARS_MAX) return undefined;
    const name = `sekisho_${this.#names.size}`;
    this.#names.set(text, name);
    return name;
  }
}

/** Queries on one connection, by names; `logger` is called before each is sent. */
export function queriesOn(client: PoolClient, names: StatementNames, logger: Logger): Queries {
  const dialect = new PgDialect();
  const session = new NamingSession(client, { names, dialect, logger });
  return new NodePgDatabase(dialect, session, undefined);
}

type Session = NodePgSession<Record<string, never>, Record<string, never>>;
type Rest = Parameters<Session["prepareQuery"]>;

class NamingSession extends NodePgSession<Record<string, never>, Record<string, never>> {
  readonly #names: StatementNames;

  constructor(
    client: PoolClient,
    options: {
      readonly names: StatementNames;
      readonly dialect: PgDialect;
      readonly logger: Logger;
    },
  ) {
    super(client, options.dialect, undefined, { logger: options.logger });
    this.#names = options.names;
  }

  /** Every query passes here; it has a name only if the program gave it one. */
  override prepareQuery<T extends PreparedQueryConfig = PreparedQueryConfig>(
    query: Query,
    fields: SelectedFieldsOrdered | undefined,
    name: string | undefined,
    asArrays: boolean,
    mapper?: (rows: unknown[][]) => T["execute"],
    metadata?: Rest[5],
    cache?: Rest[6],
  ): PgPreparedQuery<T> {
    const used = name ?? this.#names.nameOf(query.sql);
    return super.prepareQuery(query, fields, used, asArrays, mapper, metadata, cache);
  }
}
