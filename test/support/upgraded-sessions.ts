/**
 * A session service whose version changes on one PostgreSQL and one address, and who is logged in. Its
 * first version is the last one, which makes the tables and the log.
 */
import { expect } from "@jest/globals";
import { z } from "zod";
import { PostgresServer } from "../../dev/postgres-server.js";
import { SessionsClient, type SessionTokens } from "../../dev/sessions-client.js";
import {
  SESSIONS_AUDIENCE,
  SESSIONS_ISSUER,
  SessionsService,
  createOperator,
  newKeySecret,
} from "../../dev/sessions-service.js";
import { waitFor } from "../../dev/wait-for.js";
import { installationOf, type FleetNode, type MixedFleet, type Version } from "./mixed-fleet.js";
import type { Ended } from "./sekisho-command.js";

const OPERATORS = "sekisho";
const PASSWORD = "the password of everybody here";
const UNTIL_MS = 30_000;
const UNAVAILABLE = 503;

const problemSchema = z.object({ code: z.string() });

/** All logins have one address. These names are known to both versions. */
const SETTINGS: Readonly<Record<string, string>> = {
  SEKISHO_SESSIONS_LOGINS_PER_ACCOUNT: "100000",
  SEKISHO_SESSIONS_LOGINS_PER_ADDRESS: "100000",
  SEKISHO_SESSIONS_ACCOUNTS_PER_ADDRESS: "100000",
  SEKISHO_SESSIONS_REFRESHES_PER_ADDRESS: "100000",
};

export type Person = SessionTokens & { readonly tenant: string; readonly user: string };

export class UpgradedSessions {
  readonly fleet: MixedFleet;
  readonly #databaseUrl: string;
  readonly #keySecret: string;
  #service: SessionsService;
  #client: SessionsClient;
  #operatorToken = "";

  private constructor(
    fleet: MixedFleet,
    kept: { readonly databaseUrl: string; readonly keySecret: string },
    service: SessionsService,
  ) {
    this.fleet = fleet;
    this.#databaseUrl = kept.databaseUrl;
    this.#keySecret = kept.keySecret;
    this.#service = service;
    this.#client = this.clientOf(service);
  }

  /** The last version with an operator and these tenants. Closed with the fleet. */
  static async open(fleet: MixedFleet, tenants: readonly string[]): Promise<UpgradedSessions> {
    const postgres = await fleet.keep(PostgresServer.start(), (server) => server.close());
    const kept = { databaseUrl: await postgres.createDatabase(), keySecret: newKeySecret() };
    const installation = installationOf("earlier");
    const database = { url: kept.databaseUrl };
    const operator = await createOperator({ database, installation }, "root");
    const service = await start(fleet, kept, "earlier");
    const made = new UpgradedSessions(fleet, kept, service);
    const entry = { tenant: OPERATORS, login: "root", oneTimePassword: operator.one_time_password };
    made.#operatorToken = (await made.#client.enter(entry, PASSWORD)).accessToken;
    for (const tenant of tenants) await made.#client.createTenant(made.#operatorToken, tenant);
    return made;
  }

  /** Of everyone. */
  readonly password = PASSWORD;

  get client(): SessionsClient {
    return this.#client;
  }

  get operatorToken(): string {
    return this.#operatorToken;
  }

  /** Another instance beside the one that `client` asks. */
  startBeside(version: Version): Promise<SessionsService> {
    const kept = { databaseUrl: this.#databaseUrl, keySecret: this.#keySecret };
    return start(this.fleet, kept, version);
  }

  /** Ends the service and starts this version at its address. */
  async replaceBy(version: Version): Promise<void> {
    const { listen } = this.#service;
    await this.#service.stop();
    const kept = { databaseUrl: this.#databaseUrl, keySecret: this.#keySecret };
    this.#service = await start(this.fleet, kept, version, listen);
    // The connections of the old client are gone.
    this.#client = this.clientOf(this.#service);
  }

  /** Rejects with what a command of this version says where it cannot use the database. */
  async openDatabase(version: Version): Promise<void> {
    const database = { url: this.#databaseUrl };
    await createOperator({ database, installation: installationOf(version) }, `root-${version}`);
  }

  addNode(version: Version, name: string): Promise<FleetNode> {
    return this.fleet.addNode(version, name, {
      SEKISHO_JWKS_FILE: "",
      SEKISHO_JWKS_URL: this.#service.jwksUrl,
      SEKISHO_ISSUER: SESSIONS_ISSUER,
      SEKISHO_AUDIENCE: SESSIONS_AUDIENCE,
    });
  }

  /** Revokes a session: in force when it returns, and watched from then on. */
  async revokeSession(person: Person): Promise<void> {
    const whose = { ...person, session: person.sessionId };
    const answer = await this.#client.revokeSession(this.#operatorToken, whose);
    expect(answer).toMatchObject({ status: 200, acknowledged: true });
    this.fleet.revoked(`the session of ${person.user}`, person.accessToken);
  }

  /** Likewise everything of a user. */
  async revokeUser(person: Person): Promise<void> {
    const answer = await this.#client.revokeUser(this.#operatorToken, person);
    expect(answer).toMatchObject({ status: 200, acknowledged: true });
    this.fleet.revoked(`the user ${person.user}`, person.accessToken);
  }

  async refresh(person: Person): Promise<Person> {
    return { ...person, ...(await this.#client.refresh(person.refreshToken)) };
  }

  /** What is answered to a refresh: "200", or the status and the problem's code. */
  async refreshed({ refreshToken }: Pick<Person, "refreshToken">): Promise<string> {
    const body = { refresh_token: refreshToken };
    const { status, body: answer } = await this.#client.ask("POST", "/v1/refresh", { body });
    return status === 200 ? "200" : `${status} ${problemSchema.parse(answer).code}`;
  }

  /** The same once it is not unavailable: after a start no token is issued until the log was searched. */
  async untilRefreshed(person: Pick<Person, "refreshToken">): Promise<string> {
    const look = async () => {
      const answer = await this.refreshed(person);
      return answer.startsWith(String(UNAVAILABLE)) ? undefined : answer;
    };
    return waitFor(look, { what: "a refresh to be answered", timeoutMs: UNTIL_MS });
  }

  /** Closed with the fleet. */
  clientOf(service: SessionsService): SessionsClient {
    const client = new SessionsClient(service.url);
    void this.fleet.keep(Promise.resolve(client), (one) => one.close());
    return client;
  }

  /** A new user, logged in once. */
  async enter(tenant: string, user: string): Promise<Person> {
    const made = { userId: user, login: user, password: PASSWORD };
    await this.#client.createUser(this.#operatorToken, tenant, made);
    return this.login(tenant, user);
  }

  async login(tenant: string, user: string): Promise<Person> {
    const who = { tenant, login: user, password: PASSWORD };
    return { tenant, user, ...(await this.#client.login(who)) };
  }

  /** A command of this version that goes through the service. */
  command(version: Version, args: readonly string[], input?: string): Promise<Ended> {
    const settings = {
      SEKISHO_SESSIONS_URL: this.#service.url,
      SEKISHO_SESSIONS_TOKEN: this.#operatorToken,
    };
    return this.fleet.command(version, args, settings, input);
  }
}

async function start(
  fleet: MixedFleet,
  { databaseUrl, keySecret }: { readonly databaseUrl: string; readonly keySecret: string },
  version: Version,
  listen?: string,
): Promise<SessionsService> {
  const starting = SessionsService.start({
    redisUrl: fleet.redis.url,
    database: { url: databaseUrl },
    keySecret,
    settings: SETTINGS,
    installation: installationOf(version),
    ...(listen === undefined ? {} : { listen }),
  });
  const service = await fleet.keep(starting, (one) => one.kill());
  await service.waitReady();
  return service;
}
