import type { Refusals } from "../audit/refusal-trail.js";
import type { AdminParts } from "../admin/admin-act.js";
import type { Outbox } from "../outbox/outbox.js";
import type { ActLimitParts } from "../login/act-limit.js";
import type { CallerParts } from "../login/caller.js";
import type { LoginParts } from "../login/login.js";
import type { OwnSessionParts } from "../login/own-sessions.js";
import type { PasswordChangeParts } from "../login/password-change.js";
import type { RefreshParts } from "../login/refresh.js";
import type { KeySet } from "./key-set-route.js";
import type { NodesReader } from "./nodes-route.js";
import type { ApiLog } from "./problem-desk.js";

/** What the API stands on. */
export interface ApiParts {
  readonly sessions: LoginParts &
    RefreshParts &
    CallerParts &
    OwnSessionParts &
    PasswordChangeParts &
    ActLimitParts;
  readonly admin: AdminParts;
  readonly outbox: Outbox;
  readonly refusals: Refusals;
  readonly keys: KeySet;
  readonly nodes: NodesReader;
  /** False: nothing but the documentation is answered yet. */
  readonly isReady: () => boolean;
  readonly log: ApiLog;
}
