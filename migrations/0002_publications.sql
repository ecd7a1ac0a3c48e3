-- From the tables of the first version: each refresh token knows its predecessor, a revocation knows where
-- it was published, and the record of the log knows when it was searched.
--
-- The first version cannot use these tables. An instance of it that still runs can neither log in nor
-- refresh from now on, so nothing is issued past what only later versions know.

-- The owner sees no rows while row security is forced.
ALTER TABLE sekisho.sessions NO FORCE ROW LEVEL SECURITY;
--> statement-breakpoint
ALTER TABLE sekisho.refresh_tokens NO FORCE ROW LEVEL SECURITY;
--> statement-breakpoint
ALTER TABLE sekisho.revocations NO FORCE ROW LEVEL SECURITY;
--> statement-breakpoint
ALTER TABLE sekisho.log_records NO FORCE ROW LEVEL SECURITY;
--> statement-breakpoint
-- The revocation that ended the session; NULL: none that was decided here.
ALTER TABLE sekisho.sessions ADD COLUMN ended_event uuid;
--> statement-breakpoint
-- generation: each token of a session has its own, one higher than any before.
ALTER TABLE sekisho.refresh_tokens
  -- The generation of the token that it was given for; NULL: the login's.
  ADD COLUMN predecessor bigint,
  -- How many retries led to it.
  ADD COLUMN retries integer NOT NULL DEFAULT 0,
  -- When it was used, or another one took its place; NULL: live.
  ADD COLUMN replaced_at timestamptz(3),
  -- One of its successors was used while others were live: no retry gives another one.
  ADD COLUMN successor_used boolean NOT NULL DEFAULT false;
--> statement-breakpoint
ALTER TABLE sekisho.refresh_tokens ALTER COLUMN retries DROP DEFAULT, ALTER COLUMN successor_used DROP DEFAULT;
--> statement-breakpoint
-- Never handed out: their refresh was taken back.
DELETE FROM sekisho.refresh_tokens token USING sekisho.sessions session
  WHERE session.tenant_id = token.tenant_id AND session.session_id = token.session_id
    AND token.generation > session.refresh_generation;
--> statement-breakpoint
-- Tokens of tabs that raced had one generation. Those of the session's last one are live.
WITH numbered AS (
  SELECT tenant_id, token_hash, session_id, generation, issued_at, row_number() OVER (
      PARTITION BY tenant_id, session_id ORDER BY generation, issued_at, token_hash) - 1 AS number
  FROM sekisho.refresh_tokens
), generations AS (
  SELECT tenant_id, session_id, generation, max(number) AS newest, min(issued_at) AS began
  FROM numbered GROUP BY tenant_id, session_id, generation
)
UPDATE sekisho.refresh_tokens token SET generation = numbered.number, predecessor = before.newest,
  replaced_at = CASE WHEN numbered.generation < session.refresh_generation
    THEN coalesce(after.began, session.rotated_at) END
FROM numbered
  JOIN sekisho.sessions session USING (tenant_id, session_id)
  LEFT JOIN generations before ON before.tenant_id = numbered.tenant_id
    AND before.session_id = numbered.session_id AND before.generation = numbered.generation - 1
  LEFT JOIN generations after ON after.tenant_id = numbered.tenant_id
    AND after.session_id = numbered.session_id AND after.generation = numbered.generation + 1
WHERE token.tenant_id = numbered.tenant_id AND token.token_hash = numbered.token_hash;
--> statement-breakpoint
-- That of the newest refresh token.
UPDATE sekisho.sessions session SET refresh_generation = coalesce((
  SELECT max(generation) FROM sekisho.refresh_tokens token
  WHERE token.tenant_id = session.tenant_id AND token.session_id = session.session_id), 0);
--> statement-breakpoint
ALTER TABLE sekisho.sessions DROP COLUMN rotated_at;
--> statement-breakpoint
DROP INDEX sekisho.refresh_tokens_of_session;
--> statement-breakpoint
CREATE UNIQUE INDEX refresh_tokens_of_session
  ON sekisho.refresh_tokens (tenant_id, session_id, generation);
--> statement-breakpoint
-- Few of however many that were used.
CREATE INDEX live_refresh_tokens ON sekisho.refresh_tokens (tenant_id, session_id)
  WHERE replaced_at IS NULL;
--> statement-breakpoint
-- published_at: when, in which generation of the log and with which seq it was published while
-- log_records meant that generation; NULL is the outbox. A restore carries it over into the generations
-- that follow.
ALTER TABLE sekisho.revocations
  ADD COLUMN published_generation text,
  ADD COLUMN published_seq bigint CHECK (published_seq > 0),
  ADD CHECK (issued_before BETWEEN 0 AND 9007199254740991);
--> statement-breakpoint
-- What the first version has published is in its log, at the latest seq or before.
UPDATE sekisho.revocations SET published_generation = record.generation, published_seq = record.seq
  FROM sekisho.log_records record
  WHERE record.partition = revocations.partition AND revocations.published_at IS NOT NULL
    AND record.generation IS NOT NULL AND record.seq > 0;
--> statement-breakpoint
UPDATE sekisho.revocations SET published_at = NULL
  WHERE published_at IS NOT NULL AND published_generation IS NULL;
--> statement-breakpoint
ALTER TABLE sekisho.revocations
  ADD CHECK (num_nulls(published_at, published_generation, published_seq) IN (0, 3));
--> statement-breakpoint
-- Which of its histories the server writes: every promotion of a standby begins another timeline.
-- 'unknown' where this PostgreSQL does not say.
CREATE FUNCTION sekisho.timeline() RETURNS text LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 8);
EXCEPTION WHEN OTHERS THEN
  RETURN 'unknown';
END $$;
--> statement-breakpoint
ALTER TABLE sekisho.log_records
  -- The generation that a restore is making. Until it has been recorded the database means no log,
  -- and nothing counts as published.
  ADD COLUMN restoring_generation text,
  -- On which timeline it was searched last. On another one the database may have forgotten what is
  -- in the log, and nothing is revoked until that is imported.
  ADD COLUMN searched_timeline text NOT NULL DEFAULT sekisho.timeline(),
  -- What was published before this time, by this database's clock, is imported. A token that a
  -- refresh issues is no younger. Until the first search: when the first restore began.
  ADD COLUMN searched_at timestamptz(3) NOT NULL DEFAULT now();
--> statement-breakpoint
-- The first version searched, but did not record when.
UPDATE sekisho.log_records SET searched_timeline = '', searched_at = 'epoch';
--> statement-breakpoint
-- The nodes in the log of a partition, as the relay saw them last. Those of another generation than
-- log_records names may still follow the log that was left: receipts name them.
CREATE TABLE sekisho.log_nodes (
  partition integer NOT NULL,
  node text COLLATE "C" NOT NULL,
  generation text NOT NULL,
  max_staleness_ms bigint NOT NULL,
  on_stale text NOT NULL CHECK (on_stale IN ('deny', 'allow', 'error')),
  -- That log was closed for its nodes: they are stale if they live.
  retired boolean NOT NULL,
  seen_at timestamptz(3) NOT NULL,
  PRIMARY KEY (partition, node)
);
--> statement-breakpoint
DO $$
DECLARE
  name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['sessions', 'refresh_tokens', 'revocations', 'log_records', 'log_nodes'] LOOP
    EXECUTE format('ALTER TABLE sekisho.%I ENABLE ROW LEVEL SECURITY', name);
    EXECUTE format('ALTER TABLE sekisho.%I FORCE ROW LEVEL SECURITY', name);
  END LOOP;
END $$;
--> statement-breakpoint
GRANT UPDATE, DELETE ON sekisho.refresh_tokens TO sekisho_tenant;
--> statement-breakpoint
GRANT SELECT (partition, generation, searched_timeline, searched_at) ON sekisho.log_records TO sekisho_tenant;
--> statement-breakpoint
CREATE POLICY all_rows_for_sekisho_tenant ON sekisho.log_records TO sekisho_tenant
  USING (current_user = 'sekisho_tenant') WITH CHECK (current_user = 'sekisho_tenant');
--> statement-breakpoint
GRANT SELECT, INSERT, UPDATE, DELETE ON sekisho.log_nodes TO sekisho_relay;
--> statement-breakpoint
CREATE POLICY all_rows_for_sekisho_relay ON sekisho.log_nodes TO sekisho_relay
  USING (current_user = 'sekisho_relay') WITH CHECK (current_user = 'sekisho_relay');
