import type { Refusals } from "../audit/refusal-trail.js";
import type { TokenRevocationDependencies } from "../admin/token-revocations.js";
import type { Outbox } from "../outbox/outbox.js";
import type { ActLimitDependencies } from "../login/act-limit.js";
import type { CallerDependencies } from "../login/caller.js";
import type { LoginDependencies } from "../login/login.js";
import type { OwnSessionDependencies } from "../login/own-sessions.js";
import type { PasswordChangeDependencies } from "../login/password-change.js";
import type { RefreshDependencies } from "../login/refresh.js";
import type { KeySet } from "./key-set-route.js";
import type { NodesReader } from "./nodes-route.js";
import type { ApiLog } from "./problem-responder.js";

/** What the API depends on. */
export interface ApiDependencies {
  readonly sessions: LoginDependencies &
    RefreshDependencies &
    CallerDependencies &
    OwnSessionDependencies &
    PasswordChangeDependencies &
    ActLimitDependencies;
  readonly admin: TokenRevocationDependencies;
  readonly outbox: Outbox;
  readonly refusals: Refusals;
  readonly keys: KeySet;
  readonly nodes: NodesReader;
  /** False: only the documentation is served yet. */
  readonly isReady: () => boolean;
  readonly log: ApiLog;
}
