-- Keys whose signatures are refused until an operator lifts that: key sets outlive the log, so these
-- revocations are published again and again.
CREATE TABLE sekisho.revoked_keys (
  issuer text NOT NULL,
  -- RFC 7638, SHA-256, in base64url
  thumbprint text NOT NULL,
  reason text,
  actor text NOT NULL,
  revoked_at timestamptz(3) NOT NULL,
  lifted_at timestamptz(3),
  PRIMARY KEY (issuer, thumbprint)
);
--> statement-breakpoint
ALTER TABLE sekisho.revoked_keys ENABLE ROW LEVEL SECURITY;
--> statement-breakpoint
ALTER TABLE sekisho.revoked_keys FORCE ROW LEVEL SECURITY;
--> statement-breakpoint
-- By operators only, who act in the tenant sekisho.
CREATE POLICY of_operators ON sekisho.revoked_keys TO sekisho_tenant
  USING (current_setting('sekisho.tenant', true) = 'sekisho' AND current_user = 'sekisho_tenant')
  WITH CHECK (current_setting('sekisho.tenant', true) = 'sekisho' AND current_user = 'sekisho_tenant');
--> statement-breakpoint
CREATE POLICY all_rows_for_sekisho_relay ON sekisho.revoked_keys TO sekisho_relay
  USING (current_user = 'sekisho_relay') WITH CHECK (current_user = 'sekisho_relay');
--> statement-breakpoint
GRANT SELECT, INSERT, UPDATE ON sekisho.revoked_keys TO sekisho_tenant, sekisho_relay;
