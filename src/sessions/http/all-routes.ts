import type { ApiDependencies } from "./api-dependencies.js";
import { addKeySet } from "./key-set-route.js";
import { addLogin, addLogout, addRefresh } from "./login-routes.js";
import {
  addOtherSessionsEnd,
  addOwnPassword,
  addOwnSessionEnd,
  addOwnSessions,
} from "./own-routes.js";
import { addNodes } from "./nodes-route.js";
import type { Routes } from "./route.js";
import { addAudit, addTenantCreation, addTenants } from "./tenant-routes.js";
import {
  addAllRevocation,
  addClientRevocation,
  addKeyLift,
  addKeyRevocation,
  addTenantClientRevocation,
  addTenantRevocation,
  addTokenRevocation,
} from "./token-revocation-routes.js";
import {
  addDisable,
  addEnable,
  addPasswordSetting,
  addRevokeAll,
  addSessionEnd,
  addUnlock,
} from "./user-act-routes.js";
import { addUserCreation, addUsers, addUserSessions } from "./user-routes.js";

/** In the order of the OpenAPI document. */
export function addAllRoutes(routes: Routes, dependencies: ApiDependencies): void {
  const { sessions, admin, outbox, keys, nodes } = dependencies;
  const own = { ...sessions, outbox };
  addLogin(routes, sessions);
  addRefresh(routes, sessions);
  addLogout(routes, own);
  addOwnSessions(routes, own);
  addOwnSessionEnd(routes, own);
  addOtherSessionsEnd(routes, own);
  addOwnPassword(routes, own);
  addTenantCreation(routes, admin);
  addTenants(routes, admin);
  addUserCreation(routes, admin);
  addUsers(routes, admin);
  addUserSessions(routes, admin);
  const acts = { ...admin, outbox };
  addSessionEnd(routes, acts);
  addRevokeAll(routes, acts);
  addDisable(routes, acts);
  addEnable(routes, acts);
  addUnlock(routes, acts);
  addPasswordSetting(routes, acts);
  addTokenRevocation(routes, acts);
  addTenantClientRevocation(routes, acts);
  addClientRevocation(routes, acts);
  addTenantRevocation(routes, acts);
  addKeyRevocation(routes, acts);
  addKeyLift(routes, acts);
  addAllRevocation(routes, acts);
  addAudit(routes, admin);
  addNodes(routes, nodes);
  addKeySet(routes, keys);
}
