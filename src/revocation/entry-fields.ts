/** An entry's own fields as they are written into the log; all but `seq`, `at` and `forget_at`. */
import { ENTRY_VERSION, type EntryOrigin, type Revocation } from "./entry.js";

export interface EntryContent {
  readonly revocation: Revocation;
  readonly eventId: string | undefined;
  readonly reason: string | undefined;
  readonly actor: string | undefined;
  readonly origin: EntryOrigin | undefined;
}

/** Names and values in turn, without those that are undefined. */
export function entryFields(content: EntryContent): readonly string[] {
  const { revocation, eventId, reason, actor, origin } = content;
  const fields = {
    v: ENTRY_VERSION,
    kind: revocation.kind,
    tenant: revocation.tenant,
    user: revocation.user,
    ...(revocation.kind === "session_revoked"
      ? { session: revocation.session }
      : { epoch: revocation.epoch, issued_before: revocation.issuedBefore }),
    event_id: eventId,
    reason,
    actor,
    origin,
  };
  return Object.entries(fields).flatMap(([name, value]) =>
    value === undefined ? [] : [name, String(value)],
  );
}
