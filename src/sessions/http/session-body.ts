import type { SessionView } from "../login/session-view.js";
import { timeBody } from "./time-body.js";

/** What users and administrators are told of a session. */
export function sessionBody(session: SessionView) {
  return {
    session_id: session.sessionId,
    device_name: session.deviceName,
    address: session.address,
    created_at: timeBody(session.createdAtMs),
    last_used_at: timeBody(session.lastUsedAtMs),
    last_used_address: session.lastUsedAddress,
  };
}
