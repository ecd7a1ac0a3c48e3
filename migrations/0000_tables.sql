-- The session service's tables. Tenant id is part of every key. Ids are compared byte for byte, so
-- they sort by byte, too. Times are the service's, not the database's: they come in as parameters.

CREATE SCHEMA IF NOT EXISTS sekisho;
--> statement-breakpoint
CREATE DOMAIN sekisho.id AS text COLLATE "C"
  CHECK (char_length(VALUE) BETWEEN 1 AND 256);
--> statement-breakpoint
CREATE TABLE sekisho.tenants (
  tenant_id sekisho.id PRIMARY KEY,
  name text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 256),
  created_at timestamptz(3) NOT NULL
);
--> statement-breakpoint
CREATE TABLE sekisho.users (
  tenant_id sekisho.id NOT NULL REFERENCES sekisho.tenants,
  user_id sekisho.id NOT NULL,
  login sekisho.id NOT NULL,
  role text NOT NULL CHECK (role IN ('operator', 'tenant_admin', 'user')),
  -- Raised by every revocation of all of the user's tokens; never falls (2^53 - 1 is the last).
  user_epoch bigint NOT NULL DEFAULT 0 CHECK (user_epoch BETWEEN 0 AND 9007199254740991),
  disabled_at timestamptz(3),
  created_at timestamptz(3) NOT NULL,
  PRIMARY KEY (tenant_id, user_id),
  UNIQUE (tenant_id, login),
  -- Operators may act in every tenant; they live in the service's own.
  CHECK ((role = 'operator') = (tenant_id = 'sekisho'))
);
--> statement-breakpoint
CREATE TABLE sekisho.credentials (
  tenant_id sekisho.id NOT NULL,
  user_id sekisho.id NOT NULL,
  -- argon2id in PHC form.
  password_hash text NOT NULL,
  -- Made by an administrator: good for one login, in which it has to be replaced.
  one_time boolean NOT NULL,
  one_time_used_at timestamptz(3),
  changed_at timestamptz(3) NOT NULL,
  PRIMARY KEY (tenant_id, user_id),
  FOREIGN KEY (tenant_id, user_id) REFERENCES sekisho.users
);
--> statement-breakpoint
CREATE TABLE sekisho.sessions (
  tenant_id sekisho.id NOT NULL,
  session_id sekisho.id NOT NULL,
  user_id sekisho.id NOT NULL,
  device_name text NOT NULL CHECK (char_length(device_name) <= 256),
  address text NOT NULL,
  created_at timestamptz(3) NOT NULL,
  last_used_at timestamptz(3) NOT NULL,
  last_used_address text NOT NULL,
  -- Which refresh tokens are the present ones, and since when.
  refresh_generation bigint NOT NULL,
  rotated_at timestamptz(3) NOT NULL,
  idle_expires_at timestamptz(3) NOT NULL,
  expires_at timestamptz(3) NOT NULL,
  -- Opened with a one-time password: may do nothing but replace it.
  password_change_only boolean NOT NULL,
  ended_at timestamptz(3),
  ended_by text,
  PRIMARY KEY (tenant_id, session_id),
  FOREIGN KEY (tenant_id, user_id) REFERENCES sekisho.users,
  CHECK ((ended_at IS NULL) = (ended_by IS NULL))
);
--> statement-breakpoint
-- What has to be ended when everything of a user is: the open ones among however many ended ones.
CREATE INDEX open_sessions_of_user ON sekisho.sessions (tenant_id, user_id, created_at)
  WHERE ended_at IS NULL;
--> statement-breakpoint
CREATE INDEX sessions_of_user ON sekisho.sessions (tenant_id, user_id, created_at);
--> statement-breakpoint
CREATE INDEX sessions_expiring ON sekisho.sessions (idle_expires_at);
--> statement-breakpoint
CREATE TABLE sekisho.refresh_tokens (
  tenant_id sekisho.id NOT NULL,
  -- SHA-256 of the token; the token itself is nowhere.
  token_hash bytea NOT NULL CHECK (octet_length(token_hash) = 32),
  session_id sekisho.id NOT NULL,
  generation bigint NOT NULL,
  issued_at timestamptz(3) NOT NULL,
  expires_at timestamptz(3) NOT NULL,
  PRIMARY KEY (tenant_id, token_hash),
  FOREIGN KEY (tenant_id, session_id) REFERENCES sekisho.sessions ON DELETE CASCADE
);
--> statement-breakpoint
CREATE INDEX refresh_tokens_of_session ON sekisho.refresh_tokens (tenant_id, session_id);
--> statement-breakpoint
CREATE INDEX refresh_tokens_expiring ON sekisho.refresh_tokens (expires_at);
--> statement-breakpoint
-- What was revoked: the truth, and the outbox of what Redis has not been told yet.
CREATE TABLE sekisho.revocations (
  tenant_id sekisho.id NOT NULL,
  event_id uuid NOT NULL,
  partition integer NOT NULL,
  kind text NOT NULL CHECK (kind IN ('session_revoked', 'user_revoked')),
  user_id sekisho.id,
  session_id sekisho.id,
  epoch bigint CHECK (epoch BETWEEN 0 AND 9007199254740991),
  -- Unix seconds, as in the log and in the tokens' iat.
  issued_before bigint,
  at timestamptz(3) NOT NULL,
  reason text,
  actor text,
  -- service: decided here; log: found in the log (break-glass, or a log that stood alone before).
  origin text NOT NULL CHECK (origin IN ('service', 'log')),
  -- When Redis was seen to have it; NULL is the outbox.
  published_at timestamptz(3),
  PRIMARY KEY (tenant_id, event_id),
  CHECK (kind <> 'session_revoked' OR session_id IS NOT NULL),
  CHECK (kind <> 'user_revoked' OR (user_id IS NOT NULL AND (epoch IS NOT NULL OR issued_before IS NOT NULL)))
);
--> statement-breakpoint
CREATE INDEX revocations_pending ON sekisho.revocations (partition, at, tenant_id, event_id)
  WHERE published_at IS NULL;
--> statement-breakpoint
CREATE INDEX revocations_by_time ON sekisho.revocations (partition, at, tenant_id, event_id);
--> statement-breakpoint
-- Who did what, to whom, why, from where, with what outcome. Rows are only ever added.
CREATE TABLE sekisho.audit (
  tenant_id sekisho.id NOT NULL,
  audit_id bigint GENERATED ALWAYS AS IDENTITY,
  at timestamptz(3) NOT NULL,
  kind text NOT NULL,
  outcome text NOT NULL CHECK (outcome IN ('done', 'refused', 'failed')),
  -- Why it was refused or failed, or the reason that the actor gave.
  reason text,
  actor text NOT NULL,
  user_id text COLLATE "C",
  session_id text COLLATE "C",
  address text,
  event_id uuid,
  detail jsonb NOT NULL DEFAULT '{}',
  PRIMARY KEY (tenant_id, audit_id)
);
--> statement-breakpoint
CREATE INDEX audit_of_user ON sekisho.audit (tenant_id, user_id, audit_id);
--> statement-breakpoint
CREATE FUNCTION sekisho.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'the audit trail is only ever added to';
END $$;
--> statement-breakpoint
CREATE TRIGGER audit_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON sekisho.audit
  FOR EACH STATEMENT EXECUTE FUNCTION sekisho.refuse_change();
--> statement-breakpoint
-- Failed logins in a row, by the login that was tried, whether or not there is such an account.
CREATE TABLE sekisho.login_failures (
  tenant_id sekisho.id NOT NULL,
  login sekisho.id NOT NULL,
  failures integer NOT NULL,
  last_failed_at timestamptz(3) NOT NULL,
  locked_until timestamptz(3),
  PRIMARY KEY (tenant_id, login)
);
--> statement-breakpoint
CREATE INDEX login_failures_by_time ON sekisho.login_failures (last_failed_at);
--> statement-breakpoint
CREATE TABLE sekisho.signing_keys (
  kid text PRIMARY KEY,
  algorithm text NOT NULL,
  public_jwk jsonb NOT NULL,
  -- PKCS #8, encrypted with the key from the environment.
  private_key bytea NOT NULL,
  created_at timestamptz(3) NOT NULL,
  signs_from timestamptz(3) NOT NULL,
  signs_until timestamptz(3) NOT NULL,
  published_until timestamptz(3) NOT NULL
);
--> statement-breakpoint
-- What the database knows of each partition's log in Redis: a log behind this has lost something.
CREATE TABLE sekisho.log_records (
  partition integer PRIMARY KEY,
  generation text,
  seq bigint NOT NULL,
  -- Up to which entry the log was searched for revocations that are not from here.
  imported_entry_id text,
  -- What the next restore must own up to: tokens issued before it are answered as stale.
  covers_from timestamptz(3),
  -- Set by after-restore: the log has to be restored even if it looks sound.
  restore_requested_at timestamptz(3),
  restored_at timestamptz(3)
);
--> statement-breakpoint
INSERT INTO sekisho.tenants VALUES ('sekisho', 'Sekisho: the operators', now());
