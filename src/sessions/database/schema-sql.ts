/** The tables as queries see them; `migrations/` creates them, and a test compares the two. */
import { sql } from "drizzle-orm";
import {
  bigint,
  boolean,
  customType,
  integer,
  jsonb,
  pgSchema,
  primaryKey,
  text,
  timestamp,
  uuid,
} from "drizzle-orm/pg-core";

const sekisho = pgSchema("sekisho");

const time = (name: string) => timestamp(name, { withTimezone: true, precision: 3, mode: "date" });
/** Epochs, seqs and counts: at most 2^53 − 1, so a number holds them. */
const whole = (name: string) => bigint(name, { mode: "number" });
const bytes = customType<{ data: Uint8Array; driverData: Uint8Array }>({
  dataType: () => "bytea",
});

export const tenants = sekisho.table("tenants", {
  tenantId: text("tenant_id").primaryKey(),
  name: text("name").notNull(),
  createdAt: time("created_at").notNull(),
});

export const users = sekisho.table(
  "users",
  {
    tenantId: text("tenant_id").notNull(),
    userId: text("user_id").notNull(),
    login: text("login").notNull(),
    role: text("role", { enum: ["operator", "tenant_admin", "user"] }).notNull(),
    userEpoch: whole("user_epoch").notNull().default(0),
    disabledAt: time("disabled_at"),
    createdAt: time("created_at").notNull(),
  },
  (table) => [primaryKey({ columns: [table.tenantId, table.userId] })],
);

export const credentials = sekisho.table(
  "credentials",
  {
    tenantId: text("tenant_id").notNull(),
    userId: text("user_id").notNull(),
    passwordHash: text("password_hash").notNull(),
    oneTime: boolean("one_time").notNull(),
    oneTimeUsedAt: time("one_time_used_at"),
    changedAt: time("changed_at").notNull(),
  },
  (table) => [primaryKey({ columns: [table.tenantId, table.userId] })],
);

export const sessions = sekisho.table(
  "sessions",
  {
    tenantId: text("tenant_id").notNull(),
    sessionId: text("session_id").notNull(),
    userId: text("user_id").notNull(),
    deviceName: text("device_name").notNull(),
    address: text("address").notNull(),
    createdAt: time("created_at").notNull(),
    lastUsedAt: time("last_used_at").notNull(),
    lastUsedAddress: text("last_used_address").notNull(),
    refreshGeneration: whole("refresh_generation").notNull(),
    idleExpiresAt: time("idle_expires_at").notNull(),
    expiresAt: time("expires_at").notNull(),
    passwordChangeOnly: boolean("password_change_only").notNull(),
    endedAt: time("ended_at"),
    endedBy: text("ended_by"),
    endedEvent: uuid("ended_event"),
  },
  (table) => [primaryKey({ columns: [table.tenantId, table.sessionId] })],
);

export const refreshTokens = sekisho.table(
  "refresh_tokens",
  {
    tenantId: text("tenant_id").notNull(),
    tokenHash: bytes("token_hash").notNull(),
    sessionId: text("session_id").notNull(),
    generation: whole("generation").notNull(),
    predecessor: whole("predecessor"),
    retries: integer("retries").notNull(),
    issuedAt: time("issued_at").notNull(),
    expiresAt: time("expires_at").notNull(),
    replacedAt: time("replaced_at"),
    successorUsed: boolean("successor_used").notNull(),
  },
  (table) => [primaryKey({ columns: [table.tenantId, table.tokenHash] })],
);

export const revocations = sekisho.table(
  "revocations",
  {
    tenantId: text("tenant_id").notNull(),
    eventId: uuid("event_id").notNull(),
    partition: integer("partition").notNull(),
    kind: text("kind").notNull(),
    userId: text("user_id"),
    sessionId: text("session_id"),
    epoch: whole("epoch"),
    /** Unix seconds. */
    issuedBefore: whole("issued_before"),
    /** As in an entry of the log. */
    fields: jsonb("fields"),
    at: time("at").notNull(),
    reason: text("reason"),
    actor: text("actor"),
    origin: text("origin", { enum: ["service", "log"] }).notNull(),
    publishedAt: time("published_at"),
    publishedGeneration: text("published_generation"),
    publishedSeq: whole("published_seq"),
  },
  (table) => [primaryKey({ columns: [table.tenantId, table.eventId] })],
);

export const cutOffs = sekisho.table("cut_offs", {
  /** Empty for all tenants. */
  tenantId: text("tenant_id").primaryKey(),
  issuedBefore: time("issued_before").notNull(),
});

export const revokedKeys = sekisho.table(
  "revoked_keys",
  {
    issuer: text("issuer").notNull(),
    /** RFC 7638, SHA-256, in base64url. */
    thumbprint: text("thumbprint").notNull(),
    reason: text("reason"),
    actor: text("actor").notNull(),
    revokedAt: time("revoked_at").notNull(),
    liftedAt: time("lifted_at"),
  },
  (table) => [primaryKey({ columns: [table.issuer, table.thumbprint] })],
);

export const audit = sekisho.table(
  "audit",
  {
    tenantId: text("tenant_id").notNull(),
    auditId: whole("audit_id").generatedAlwaysAsIdentity(),
    at: time("at").notNull(),
    kind: text("kind").notNull(),
    outcome: text("outcome", { enum: ["done", "refused", "failed"] }).notNull(),
    reason: text("reason"),
    actor: text("actor").notNull(),
    userId: text("user_id"),
    sessionId: text("session_id"),
    address: text("address"),
    eventId: uuid("event_id"),
    detail: jsonb("detail").notNull().default({}),
  },
  (table) => [primaryKey({ columns: [table.tenantId, table.auditId] })],
);

export const loginFailures = sekisho.table(
  "login_failures",
  {
    tenantId: text("tenant_id").notNull(),
    login: text("login").notNull(),
    failures: integer("failures").notNull(),
    lastFailedAt: time("last_failed_at").notNull(),
    lockedUntil: time("locked_until"),
  },
  (table) => [primaryKey({ columns: [table.tenantId, table.login] })],
);

export const signingKeys = sekisho.table("signing_keys", {
  kid: text("kid").primaryKey(),
  algorithm: text("algorithm").notNull(),
  publicJwk: jsonb("public_jwk").notNull(),
  privateKey: bytes("private_key").notNull(),
  createdAt: time("created_at").notNull(),
  signsFrom: time("signs_from").notNull(),
  signsUntil: time("signs_until").notNull(),
  publishedUntil: time("published_until").notNull(),
});

/** The server's timeline, which changes with a failover. */
export const TIMELINE = sql<string>`sekisho.timeline()`;

export const logRecords = sekisho.table("log_records", {
  partition: integer("partition").primaryKey(),
  generation: text("generation"),
  restoringGeneration: text("restoring_generation"),
  seq: whole("seq").notNull(),
  importedEntryId: text("imported_entry_id"),
  searchedTimeline: text("searched_timeline").notNull().default(TIMELINE),
  searchedAt: time("searched_at").notNull().defaultNow(),
  coversFrom: time("covers_from"),
  restoreRequestedAt: time("restore_requested_at"),
  restoredAt: time("restored_at"),
  inOrder: boolean("in_order").notNull().default(true),
});

export const logNodes = sekisho.table(
  "log_nodes",
  {
    partition: integer("partition").notNull(),
    node: text("node").notNull(),
    generation: text("generation").notNull(),
    maxStalenessMs: whole("max_staleness_ms").notNull(),
    onStale: text("on_stale", { enum: ["deny", "allow", "error"] }).notNull(),
    retired: boolean("retired").notNull(),
    seenAt: time("seen_at").notNull(),
  },
  (table) => [primaryKey({ columns: [table.partition, table.node] })],
);
