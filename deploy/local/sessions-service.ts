import { randomBytes } from "node:crypto";
import { join } from "node:path";

import { z } from "zod";

import { environmentWithoutSettings } from "./authz-node.js";
import { StartedProcess, describeExit, parseJsonLine, type Exit } from "./child-process.js";
import { repositoryRoot } from "./repository.js";
import { waitFor } from "./wait-for.js";

const START_TIMEOUT_MS = 20_000;
const READY_TIMEOUT_MS = 30_000;
const COMMAND_TIMEOUT_MS = 30_000;
const OPS_TIMEOUT_MS = 2_000;
/** The program promises to end within 10 s of SIGTERM. */
const STOP_TIMEOUT_MS = 12_000;

/** SEKISHO_DATABASE_URL, or the folder of a database inside the service. */
export type DatabaseSetting = { readonly url: string } | { readonly folder: string };

export interface SessionsServiceOptions {
  readonly redisUrl: string;
  readonly database: DatabaseSetting;
  /** `HOST:PORT`; a free loopback port if left out. */
  readonly listen?: string;
  /** SEKISHO_SESSIONS_KEY_SECRET; the same for all instances on one database. */
  readonly keySecret?: string;
  /** Further settings by their SEKISHO_ names; these win. */
  readonly settings?: Readonly<Record<string, string>>;
  /** SIGKILL as soon as this is aborted, also while it starts. */
  readonly killed?: AbortSignal;
}

const listeningSchema = z.object({
  msg: z.literal("listening"),
  listen: z.string(),
  ops: z.string(),
});

type Listening = z.infer<typeof listeningSchema>;

const operatorSchema = z.object({
  tenant: z.string(),
  user_id: z.string(),
  login: z.string(),
  one_time_password: z.string(),
});

export type FirstOperator = z.infer<typeof operatorSchema>;

export const SESSIONS_ISSUER = "https://sessions.example";
export const SESSIONS_AUDIENCE = "api";

/** One `sekisho sessions` as a process of its own, from the compiled program. */
export class SessionsService {
  /** What to set SEKISHO_SESSIONS_LISTEN to, to start another one in its place. */
  readonly listen: string;
  readonly url: string;
  readonly opsUrl: string;
  readonly #process: StartedProcess;

  private constructor(started: StartedProcess, listening: Listening) {
    this.#process = started;
    this.listen = listening.listen;
    this.url = `http://${listening.listen}`;
    this.opsUrl = `http://${listening.ops}`;
  }

  /** Starts it and waits until it listens, which is before it is ready. */
  static async start(options: SessionsServiceOptions): Promise<SessionsService> {
    const started = run("sekisho sessions", ["sessions"], options);
    options.killed?.addEventListener("abort", () => void started.kill(), { once: true });
    try {
      const listening = await started.waitForLine(
        (line) => listeningSchema.safeParse(parseJsonLine(line)).data,
        { what: "it listened", timeoutMs: START_TIMEOUT_MS },
      );
      return new SessionsService(started, listening);
    } catch (error) {
      await started.kill();
      throw error;
    }
  }

  /** Where nodes find the public keys. */
  get jwksUrl(): string {
    return `${this.url}/.well-known/jwks.json`;
  }

  get pid(): number | undefined {
    return this.#process.pid;
  }

  get lines(): readonly string[] {
    return this.#process.lines;
  }

  get exited(): Promise<Exit> {
    return this.#process.exited;
  }

  /** Waits until /readyz says 200. */
  async waitReady(timeoutMs = READY_TIMEOUT_MS): Promise<void> {
    let last = "/readyz gave no answer";
    await this.#process
      .waitFor(
        async () => {
          const response = await this.ops("/readyz").catch(() => undefined);
          if (response !== undefined) last = `/readyz answered ${response.status} ${response.body}`;
          return response?.status === 200 || undefined;
        },
        { what: "it was ready", timeoutMs },
      )
      .catch((error: unknown) => {
        throw new Error(`${error instanceof Error ? error.message : String(error)}\n  ${last}`);
      });
  }

  /** Reads a page of the ops interface. */
  async ops(path: string): Promise<{ status: number; body: string }> {
    const response = await fetch(`${this.opsUrl}${path}`, {
      signal: AbortSignal.timeout(OPS_TIMEOUT_MS),
    });
    return { status: response.status, body: await response.text() };
  }

  pause(): void {
    this.#process.pause();
  }

  resume(): void {
    this.#process.resume();
  }

  /** SIGKILL, and waits for its end. */
  async kill(): Promise<void> {
    await this.#process.kill();
  }

  /**
   * Lets it finish what is under way and end.
   *
   * @throws Error when it ends with another exit code than 0, or had to be killed
   */
  async stop(): Promise<void> {
    const exit = await this.#process.stop(STOP_TIMEOUT_MS);
    if (exit.code !== 0) {
      throw this.#process.failure(`ended with ${describeExit(exit)} after SIGTERM`);
    }
  }
}

/**
 * `sekisho sessions admin create`: the first operator and a password for one login. With a folder
 * as database the service must not be running: the folder has room for one program.
 */
export async function createOperator(
  options: Pick<SessionsServiceOptions, "database" | "settings">,
  login: string,
): Promise<FirstOperator> {
  const args = ["sessions", "admin", "create", "--login", login, "--json"];
  const { exit, said } = await runToEnd(args, options);
  if (exit.code !== 0) throw new Error(`sekisho ${args.join(" ")}: ${said}`);
  return operatorSchema.parse(parseJsonLine(said));
}

/** Runs a command of `sekisho` that uses the database; the last of what it printed is in `said`. */
export async function runToEnd(
  args: readonly string[],
  options: Pick<SessionsServiceOptions, "database" | "settings">,
): Promise<{ readonly exit: Exit; readonly said: string }> {
  const started = run(`sekisho ${args.join(" ")}`, args, options);
  try {
    const exit = await waitFor(() => (started.running ? undefined : started.exited), {
      what: `${started.name} to end`,
      timeoutMs: COMMAND_TIMEOUT_MS,
    });
    return { exit, said: started.lines.join("\n") };
  } finally {
    await started.kill();
  }
}

/** As `openssl rand -base64 32` prints it. */
export function newKeySecret(): string {
  return randomBytes(32).toString("base64");
}

function run(
  name: string,
  args: readonly string[],
  options: Partial<SessionsServiceOptions> & Pick<SessionsServiceOptions, "database">,
): StartedProcess {
  const { database, redisUrl, listen, keySecret } = options;
  return new StartedProcess({
    name,
    file: process.execPath,
    args: [join(repositoryRoot(), "dist", "src", "main.js"), ...args],
    env: {
      ...environmentWithoutSettings(process.env),
      SEKISHO_SESSIONS_LISTEN: listen ?? "127.0.0.1:0",
      SEKISHO_SESSIONS_OPS_LISTEN: "127.0.0.1:0",
      ...(redisUrl === undefined ? {} : { SEKISHO_REDIS_URL: redisUrl }),
      SEKISHO_ISSUER: SESSIONS_ISSUER,
      SEKISHO_AUDIENCE: SESSIONS_AUDIENCE,
      SEKISHO_SESSIONS_KEY_SECRET: keySecret ?? newKeySecret(),
      ...("url" in database
        ? { SEKISHO_DATABASE_URL: database.url }
        : { SEKISHO_DATA_DIR: database.folder }),
      ...options.settings,
    },
  });
}
