/** What the session service's benchmark runs: Redis, PostgreSQL, the service, nodes, users, sessions. */
import { randomUUID } from "node:crypto";

import { AuthzNode } from "../../dev/authz-node.js";
import type { Closing } from "../../dev/demo/demo-deployment.js";
import { PostgresServer } from "../../dev/postgres-server.js";
import { RedisServer } from "../../dev/redis-server.js";
import { SessionsClient, userPath } from "../../dev/sessions-client.js";
import {
  SESSIONS_AUDIENCE,
  SESSIONS_ISSUER,
  SessionsService,
  createOperator,
  type DatabaseSetting,
} from "../../dev/sessions-service.js";
import { divideCores, pin } from "./cores.js";
import type { SessionPlan } from "./session-arguments.js";

export const TENANT = "bench";
const OPERATOR_LOGIN = "operator@bench.example";
/** How many passwords the service hashes at once, and how many logins are under way. */
export const HASHES_MAX = 2;

/** Requests come from one address, and logins to few accounts: the limits are not what is measured. */
const SETTINGS = {
  SEKISHO_SESSIONS_HASHES_MAX: String(HASHES_MAX),
  SEKISHO_SESSIONS_LOGINS_PER_ACCOUNT: "100000",
  SEKISHO_SESSIONS_LOGINS_PER_ADDRESS: "100000",
  SEKISHO_SESSIONS_ACCOUNTS_PER_ADDRESS: "100000",
  SEKISHO_SESSIONS_REFRESHES_PER_ADDRESS: "100000",
  SEKISHO_SESSIONS_ACTS_PER_USER: "100000",
  SEKISHO_SESSIONS_ACTS_PER_ADMIN: "100000",
};

export interface Person {
  readonly user: string;
  readonly login: string;
  readonly password: string;
}

/** One service with an operator who is logged in. */
export interface Served {
  readonly service: SessionsService;
  readonly client: SessionsClient;
  readonly operatorToken: string;
}

export interface SessionsBenchDeployment extends Served {
  readonly redis: RedisServer;
  readonly postgres: PostgresServer;
  readonly nodes: readonly AuthzNode[];
  /** What runs where, in words. */
  readonly cores: string;
}

/** Starts everything, on the cores where it is to be measured. */
export async function openDeployment(
  closing: Closing,
  plan: SessionPlan,
): Promise<SessionsBenchDeployment> {
  const cores = divideCores();
  // Whatever is started from here on inherits it: the nodes and the load generator.
  if (cores !== undefined) pin(process.pid, cores.others);
  const redis = await closing.keep(RedisServer.start(), (started) => started.close());
  const postgres = await closing.keep(PostgresServer.start({ fsync: true }), (started) =>
    started.close(),
  );
  const database = { url: await postgres.createDatabase() };
  const served = await serve(closing, redis.url, database);
  if (cores !== undefined) {
    const together = plan.together ? [served.service, postgres, redis] : [served.service];
    for (const { pid } of together) pin(pid, [cores.measured]);
  }
  const nodes = await Promise.all(
    Array.from({ length: plan.nodes }, (_, index) =>
      closing.keep(startNode(`bench-${index + 1}`, redis.url, served.service), (node) =>
        node.stop(),
      ),
    ),
  );
  await Promise.all(nodes.map((node) => node.waitReady()));
  return { ...served, redis, postgres, nodes, cores: describeCores(cores !== undefined, plan) };
}

function describeCores(pinned: boolean, { together }: SessionPlan): string {
  if (!pinned) return "not assigned: all processes share all cores";
  return together
    ? "the service, PostgreSQL and Redis on one core (taskset); the nodes and the load generator on the others"
    : "the service on one core (taskset); PostgreSQL, Redis, the nodes and the load generator on the others";
}

export async function startNode(
  nodeId: string,
  redisUrl: string,
  { jwksUrl }: SessionsService,
): Promise<AuthzNode> {
  const mint = { issuer: SESSIONS_ISSUER, audience: SESSIONS_AUDIENCE, jwksFile: "" };
  const settings = { SEKISHO_JWKS_URL: jwksUrl };
  return AuthzNode.start({ nodeId, redisUrl, mint, settings });
}

/** Starts a service on an empty database. */
export async function serve(
  closing: Closing,
  redisUrl: string,
  database: DatabaseSetting,
): Promise<Served> {
  // In this order: a folder as database has room for one program.
  const operator = await createOperator({ database }, OPERATOR_LOGIN);
  const service = await closing.keep(
    SessionsService.start({ redisUrl, database, settings: SETTINGS }),
    (started) => started.stop(),
  );
  await service.waitReady();
  const client = await closing.keep(Promise.resolve(new SessionsClient(service.url)), (made) =>
    made.close(),
  );
  const { tenant, login, one_time_password: oneTimePassword } = operator;
  const tokens = await client.enter({ tenant, login, oneTimePassword }, newPassword());
  await client.createTenant(tokens.accessToken, TENANT);
  return { service, client, operatorToken: tokens.accessToken };
}

export async function createPeople(
  { client, operatorToken }: Served,
  count: number,
): Promise<readonly Person[]> {
  const people: Person[] = [];
  for (let index = 0; index < count; index += 1) {
    const user = `user-${index}`;
    const person = { user, login: `${user}@bench.example`, password: newPassword() };
    const { login, password } = person;
    await client.createUser(operatorToken, TENANT, { userId: user, login, password });
    people.push(person);
  }
  return people;
}

export function revokeAllPath({ user }: Person): string {
  return `${userPath({ tenant: TENANT, user })}/revoke-all?wait_ms=2000`;
}

function newPassword(): string {
  return randomUUID();
}
