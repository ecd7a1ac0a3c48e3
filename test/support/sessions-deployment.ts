/**
 * What an end-to-end test of the session service runs: a database, a private Redis, the service as
 * a process of its own, and pods whose nodes take the service's keys and tokens.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PGlite } from "@electric-sql/pglite";
import { z } from "zod";
import { PostgresServer } from "../../dev/postgres-server.js";
import { SessionsClient, type SessionTokens, type UserName } from "../../dev/sessions-client.js";
import {
  SESSIONS_AUDIENCE,
  SESSIONS_ISSUER,
  SessionsService,
  createOperator,
  newKeySecret,
  type DatabaseSetting,
} from "../../dev/sessions-service.js";
import { E2eDeployment, type Pod, type PodOptions } from "./e2e-deployment.js";
import { copyPgliteTemplate } from "./pglite-template.js";

export interface KeptIn {
  readonly name: "PGlite" | "PostgreSQL";
}

/** Where the service keeps its data; each test of it runs on both. */
export const KEPT_IN: readonly KeptIn[] = [{ name: "PGlite" }, { name: "PostgreSQL" }];

export const OPERATORS = "sekisho";
export const PASSWORD = "the password of everybody here";
/** More than two cores hash at once only makes them wait in the service instead of here. */
const LOGINS_AT_ONCE = 4;

/** All clients of a test have one address, and a test makes many of them. */
const LIMITS_OUT_OF_THE_WAY: Readonly<Record<string, string>> = {
  SEKISHO_SESSIONS_LOGINS_PER_ACCOUNT: "100000",
  SEKISHO_SESSIONS_LOGINS_PER_ADDRESS: "100000",
  SEKISHO_SESSIONS_ACCOUNTS_PER_ADDRESS: "100000",
  SEKISHO_SESSIONS_REFRESHES_PER_ADDRESS: "100000",
  SEKISHO_SESSIONS_ACTS_PER_USER: "100000",
  SEKISHO_SESSIONS_ACTS_PER_ADMIN: "100000",
  SEKISHO_SESSIONS_HASH_QUEUE_MAX: "10000",
};

export interface InstanceOptions {
  readonly redisUrl?: string;
  readonly listen?: string;
  readonly keySecret?: string;
  readonly settings?: Readonly<Record<string, string>>;
  /** SIGKILL as soon as this is aborted, also while it starts. */
  readonly killed?: AbortSignal;
}

/** Someone who is logged in on one device. */
export type LoggedIn = UserName & SessionTokens;

export interface KeptData {
  readonly database: DatabaseSetting;
  /** Where it is a PostgreSQL of the test's own. */
  readonly postgres: PostgresServer | undefined;
  /** Asks for one number each, past the service and its roles. A folder must not be in use. */
  readonly count: (...queries: readonly string[]) => Promise<readonly number[]>;
}

const countedSchema = z.tuple([z.object({ count: z.coerce.number() })]);
const DATABASE = "sessions";

export class SessionsDeployment {
  /** Redis, pods and pollers. */
  readonly deployment: E2eDeployment;
  readonly data: KeptData;
  readonly #keySecret = newKeySecret();
  readonly #settings: Readonly<Record<string, string>>;

  private constructor(
    deployment: E2eDeployment,
    data: KeptData,
    settings: Readonly<Record<string, string>>,
  ) {
    this.deployment = deployment;
    this.data = data;
    this.#settings = settings;
  }

  /** A database without a service, and a Redis without a log. */
  static async open(
    keptIn: KeptIn,
    settings: Readonly<Record<string, string>> = {},
  ): Promise<SessionsDeployment> {
    const deployment = await E2eDeployment.open({ withoutLog: true });
    try {
      const data = await (keptIn.name === "PGlite" ? inFolder(deployment) : inPostgres(deployment));
      return new SessionsDeployment(deployment, data, { ...LIMITS_OUT_OF_THE_WAY, ...settings });
    } catch (error) {
      await deployment.close();
      throw error;
    }
  }

  /** Starts an instance of the service; killed when the deployment is closed. */
  async startService(options: InstanceOptions = {}): Promise<SessionsService> {
    const { listen, killed } = options;
    const starting = SessionsService.start({
      redisUrl: options.redisUrl ?? this.deployment.redis.url,
      database: this.data.database,
      keySecret: options.keySecret ?? this.#keySecret,
      settings: { ...this.#settings, ...options.settings },
      ...(listen === undefined ? {} : { listen }),
      ...(killed === undefined ? {} : { killed }),
    });
    return this.deployment.keep(starting, (service) => service.kill());
  }

  /** Closed with the deployment. */
  async connect(url: string): Promise<SessionsClient> {
    return this.deployment.keep(Promise.resolve(new SessionsClient(url)), (client) =>
      client.close(),
    );
  }

  /** The first operator, by the command and with a password that is still to be replaced. */
  async createOperator(login: string) {
    return createOperator({ database: this.data.database, settings: this.#settings }, login);
  }

  /** A pod that trusts the tokens of the service whose keys are there. */
  async addPod(name: string, jwksUrl: string, options: PodOptions = {}): Promise<Pod> {
    const settings = {
      SEKISHO_JWKS_FILE: "",
      SEKISHO_JWKS_URL: jwksUrl,
      SEKISHO_ISSUER: SESSIONS_ISSUER,
      SEKISHO_AUDIENCE: SESSIONS_AUDIENCE,
      ...options.settings,
    };
    return this.deployment.addPod(name, { ...options, settings });
  }

  async close(): Promise<void> {
    await this.deployment.close();
  }
}

/** A service with an operator who is logged in, as most tests want it. */
export class RunningSessions {
  readonly base: SessionsDeployment;
  readonly deployment: E2eDeployment;
  readonly client: SessionsClient;
  readonly operatorToken: string;
  /** The instance that runs now. */
  service: SessionsService;

  private constructor(
    base: SessionsDeployment,
    running: { service: SessionsService; client: SessionsClient; operatorToken: string },
  ) {
    this.base = base;
    this.deployment = base.deployment;
    this.service = running.service;
    this.client = running.client;
    this.operatorToken = running.operatorToken;
  }

  static async open(
    keptIn: KeptIn,
    settings: Readonly<Record<string, string>> = {},
  ): Promise<RunningSessions> {
    const base = await SessionsDeployment.open(keptIn, settings);
    try {
      const operator = await base.createOperator("root");
      const service = await base.startService();
      await service.waitReady();
      const client = await base.connect(service.url);
      const entry = {
        tenant: OPERATORS,
        login: "root",
        oneTimePassword: operator.one_time_password,
      };
      const { accessToken: operatorToken } = await client.enter(entry, PASSWORD);
      return new RunningSessions(base, { service, client, operatorToken });
    } catch (error) {
      await base.close();
      throw error;
    }
  }

  async addPod(name: string, options: PodOptions = {}): Promise<Pod> {
    return this.base.addPod(name, this.service.jwksUrl, options);
  }

  async addPods(...names: readonly string[]): Promise<Pod[]> {
    return Promise.all(names.map((name) => this.addPod(name)));
  }

  async addTenant(tenant: string): Promise<void> {
    await this.client.createTenant(this.operatorToken, tenant);
  }

  /** Whose login is the user id, and whose password everybody's. */
  async addUser(tenant: string, user: string, role = "user"): Promise<UserName> {
    const made = { userId: user, login: user, password: PASSWORD, role };
    await this.client.createUser(this.operatorToken, tenant, made);
    return { tenant, user };
  }

  async login({ tenant, user }: UserName, device = "a device"): Promise<LoggedIn> {
    const tokens = await this.client.login({ tenant, login: user, password: PASSWORD }, device);
    return { tenant, user, ...tokens };
  }

  /** A new user, logged in once. */
  async enter(tenant: string, user: string, role = "user"): Promise<LoggedIn> {
    return this.login(await this.addUser(tenant, user, role));
  }

  /** So many new users, named after `prefix`, each logged in once. */
  async enterMany(tenant: string, prefix: string, count: number): Promise<LoggedIn[]> {
    const users = Array.from({ length: count }, (_, number) => `${prefix}-${number}`);
    return mapBounded(users, LOGINS_AT_ONCE, (user) => this.enter(tenant, user));
  }

  async close(): Promise<void> {
    await this.base.close();
  }
}

/** Maps with at most `width` at the same time; the results are in order. */
export async function mapBounded<T, R>(
  items: readonly T[],
  width: number,
  work: (item: T) => Promise<R>,
): Promise<R[]> {
  const results = new Map<number, R>();
  const left = items.entries();
  const workers = Array.from({ length: width }, async () => {
    for (const [index, item] of left) results.set(index, await work(item));
  });
  await Promise.all(workers);
  return [...results].sort(([one], [other]) => one - other).map(([, result]) => result);
}

const countedIn = (rows: unknown): number => countedSchema.parse(rows)[0].count;

async function inFolder(deployment: E2eDeployment): Promise<KeptData> {
  const parent = await deployment.keep(mkdtemp(join(tmpdir(), "sekisho-data-")), (made) =>
    rm(made, { recursive: true, force: true }),
  );
  const folder = join(parent, "data");
  await copyPgliteTemplate(folder);
  const count = async (...queries: readonly string[]): Promise<readonly number[]> => {
    const opened = await PGlite.create(join(folder, "postgres"));
    try {
      return await mapBounded(queries, 1, async (sql) => countedIn((await opened.query(sql)).rows));
    } finally {
      await opened.close();
    }
  };
  return { database: { folder }, postgres: undefined, count };
}

async function inPostgres(deployment: E2eDeployment): Promise<KeptData> {
  const postgres = await deployment.keep(PostgresServer.start(), (server) => server.close());
  const url = await postgres.createDatabase(DATABASE);
  const count = (...queries: readonly string[]): Promise<readonly number[]> =>
    mapBounded(queries, 1, async (sql) =>
      countedIn(await postgres.query(sql, { database: DATABASE })),
    );
  return { database: { url }, postgres, count };
}
