-- Revocations of more than a session or a user: of a token, an OAuth client, a key, a tenant, everything.
ALTER TABLE sekisho.revocations DROP CONSTRAINT revocations_kind_check;
--> statement-breakpoint
ALTER TABLE sekisho.revocations ADD CONSTRAINT revocations_kind_check CHECK (kind IN
  ('session_revoked', 'user_revoked', 'token_revoked', 'client_revoked', 'key_revoked',
   'tenant_revoked', 'all_revoked'));
--> statement-breakpoint
-- What names the revoked, as in an entry of the log; NULL where columns do. A revocation that concerns
-- no single tenant is a row of the tenant sekisho.
ALTER TABLE sekisho.revocations ADD COLUMN fields jsonb,
  ADD CHECK ((fields IS NULL) = (kind IN ('session_revoked', 'user_revoked')));
--> statement-breakpoint
-- Sessions that began before are over, and their refresh tokens with them. It outlives the row in
-- revocations, which is kept only as long as access tokens last.
CREATE TABLE sekisho.cut_offs (
  -- '' for all tenants
  tenant_id text PRIMARY KEY,
  issued_before timestamptz(3) NOT NULL
);
--> statement-breakpoint
ALTER TABLE sekisho.cut_offs ENABLE ROW LEVEL SECURITY;
--> statement-breakpoint
ALTER TABLE sekisho.cut_offs FORCE ROW LEVEL SECURITY;
--> statement-breakpoint
-- Without a tenant the setting is NULL or empty.
CREATE POLICY of_all_tenants ON sekisho.cut_offs FOR SELECT TO sekisho_tenant
  USING (tenant_id = '' AND current_setting('sekisho.tenant', true) <> ''
    AND current_user = 'sekisho_tenant');
--> statement-breakpoint
-- All tenants are cut off by an operator, who acts in the tenant sekisho.
CREATE POLICY one_tenant ON sekisho.cut_offs TO sekisho_tenant
  USING (current_setting('sekisho.tenant', true) <> '' AND current_user = 'sekisho_tenant'
    AND (tenant_id = current_setting('sekisho.tenant', true)
      OR (tenant_id = '' AND current_setting('sekisho.tenant', true) = 'sekisho')));
--> statement-breakpoint
CREATE POLICY all_rows_for_sekisho_relay ON sekisho.cut_offs TO sekisho_relay
  USING (current_user = 'sekisho_relay') WITH CHECK (current_user = 'sekisho_relay');
--> statement-breakpoint
CREATE POLICY all_rows_for_sekisho_recovery ON sekisho.cut_offs TO sekisho_recovery
  USING (current_user = 'sekisho_recovery') WITH CHECK (current_user = 'sekisho_recovery');
--> statement-breakpoint
-- For a cut-off that is later than whatever was issued before it, whichever clock that was dated by.
GRANT SELECT (last_used_at) ON sekisho.sessions TO sekisho_recovery;
--> statement-breakpoint
GRANT SELECT, INSERT, UPDATE ON sekisho.cut_offs TO sekisho_tenant, sekisho_relay, sekisho_recovery;
