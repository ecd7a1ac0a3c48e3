-- Who may see what. The service connects as one role and takes another for each transaction; the
-- connecting role owns the tables but, under FORCE, sees no row of them by itself. Each policy asks
-- who is acting, too, because the connecting role may inherit whatever its member roles have.
--
--   sekisho_tenant    a request: the rows of the tenant that is set for the transaction
--   sekisho_operator  an operator beside the tenants: the list of tenants
--   sekisho_relay     outbox relay: revocations of all tenants, and what an import of one changes
--   sekisho_keys      signing keys
--   sekisho_purge     what has expired
--   sekisho_recovery  after-restore: raises epochs and ends sessions everywhere

DO $$
DECLARE
  wanted text;
BEGIN
  FOREACH wanted IN ARRAY ARRAY['sekisho_tenant', 'sekisho_operator', 'sekisho_relay',
                                'sekisho_keys', 'sekisho_purge', 'sekisho_recovery'] LOOP
    BEGIN
      IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
        EXECUTE format('CREATE ROLE %I NOLOGIN NOSUPERUSER NOBYPASSRLS NOCREATEROLE NOCREATEDB', wanted);
      END IF;
    EXCEPTION WHEN duplicate_object OR unique_violation THEN
      NULL; -- another database of this server was faster: roles belong to the server
    END;
    -- From PostgreSQL 16 on, whoever makes a role is its member without being able to take it.
    IF NOT pg_has_role(current_user, wanted, CASE
         WHEN current_setting('server_version_num')::integer >= 160000 THEN 'SET' ELSE 'MEMBER' END) THEN
      EXECUTE format('GRANT %I TO current_user', wanted);
    END IF;
    EXECUTE format('GRANT USAGE ON SCHEMA sekisho TO %I', wanted);
  END LOOP;
END $$;
--> statement-breakpoint
DO $$
DECLARE
  name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['tenants', 'users', 'credentials', 'sessions', 'refresh_tokens',
                              'revocations', 'audit', 'login_failures', 'signing_keys', 'log_records'] LOOP
    EXECUTE format('ALTER TABLE sekisho.%I ENABLE ROW LEVEL SECURITY', name);
    EXECUTE format('ALTER TABLE sekisho.%I FORCE ROW LEVEL SECURITY', name);
  END LOOP;
  -- Without a tenant the setting is NULL or empty, which no tenant id equals.
  FOREACH name IN ARRAY ARRAY['tenants', 'users', 'credentials', 'sessions', 'refresh_tokens',
                              'revocations', 'audit', 'login_failures'] LOOP
    EXECUTE format('CREATE POLICY one_tenant ON sekisho.%I TO sekisho_tenant
      USING (tenant_id = current_setting(''sekisho.tenant'', true) AND current_user = ''sekisho_tenant'')
      WITH CHECK (tenant_id = current_setting(''sekisho.tenant'', true) AND current_user = ''sekisho_tenant'')', name);
  END LOOP;
END $$;
--> statement-breakpoint
GRANT SELECT ON sekisho.tenants TO sekisho_tenant;
--> statement-breakpoint
GRANT SELECT, INSERT, UPDATE ON sekisho.users, sekisho.credentials, sekisho.sessions TO sekisho_tenant;
--> statement-breakpoint
GRANT SELECT, INSERT ON sekisho.refresh_tokens, sekisho.revocations, sekisho.audit TO sekisho_tenant;
--> statement-breakpoint
GRANT SELECT, INSERT, UPDATE, DELETE ON sekisho.login_failures TO sekisho_tenant;
--> statement-breakpoint
GRANT SELECT, INSERT ON sekisho.tenants TO sekisho_operator;
--> statement-breakpoint
GRANT INSERT ON sekisho.audit TO sekisho_operator, sekisho_relay, sekisho_keys, sekisho_recovery;
--> statement-breakpoint
GRANT SELECT, INSERT, UPDATE ON sekisho.revocations TO sekisho_relay;
--> statement-breakpoint
GRANT SELECT (tenant_id, user_id, user_epoch), UPDATE (user_epoch) ON sekisho.users TO sekisho_relay, sekisho_recovery;
--> statement-breakpoint
GRANT SELECT (tenant_id, session_id, user_id, created_at, ended_at), UPDATE (ended_at, ended_by) ON sekisho.sessions
  TO sekisho_relay, sekisho_recovery;
--> statement-breakpoint
GRANT SELECT, INSERT, UPDATE ON sekisho.log_records TO sekisho_relay, sekisho_recovery;
--> statement-breakpoint
GRANT INSERT ON sekisho.revocations TO sekisho_recovery;
--> statement-breakpoint
GRANT SELECT, INSERT, UPDATE, DELETE ON sekisho.signing_keys TO sekisho_keys;
--> statement-breakpoint
GRANT SELECT, DELETE ON sekisho.sessions, sekisho.refresh_tokens, sekisho.revocations, sekisho.login_failures TO sekisho_purge;
--> statement-breakpoint
DO $$
DECLARE
  allowed text[];
BEGIN
  FOREACH allowed SLICE 1 IN ARRAY ARRAY[
    ['sekisho_operator', 'tenants'], ['sekisho_operator', 'audit'],
    ['sekisho_relay', 'revocations'], ['sekisho_relay', 'users'], ['sekisho_relay', 'sessions'],
    ['sekisho_relay', 'log_records'], ['sekisho_relay', 'audit'],
    ['sekisho_keys', 'signing_keys'], ['sekisho_keys', 'audit'],
    ['sekisho_purge', 'sessions'], ['sekisho_purge', 'refresh_tokens'],
    ['sekisho_purge', 'revocations'], ['sekisho_purge', 'login_failures'],
    ['sekisho_recovery', 'users'], ['sekisho_recovery', 'sessions'],
    ['sekisho_recovery', 'revocations'], ['sekisho_recovery', 'log_records'], ['sekisho_recovery', 'audit']
  ] LOOP
    EXECUTE format('CREATE POLICY all_rows_for_%s ON sekisho.%I TO %I
      USING (current_user = %L) WITH CHECK (current_user = %L)',
      allowed[1], allowed[2], allowed[1], allowed[1], allowed[1]);
  END LOOP;
END $$;
