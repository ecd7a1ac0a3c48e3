import { randomBytes } from "node:crypto";

import { z } from "zod";

import { parseJsonLine, type Exit, type StartedProcess } from "./child-process.js";
import { SekishoProgram, startSekisho, untilListening } from "./sekisho-program.js";
import { waitFor } from "./wait-for.js";

/** After a kill PGlite first syncs its thousand files, which can take long on a busy disk. */
const START_TIMEOUT_MS = 60_000;
const COMMAND_TIMEOUT_MS = 60_000;

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
  /** The folder of another version. */
  readonly installation?: string;
}

/** Of a command that uses the database. */
type CommandOptions = Pick<SessionsServiceOptions, "database" | "settings" | "installation">;

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
export class SessionsService extends SekishoProgram {
  /** Starts it and waits until it listens, which is before it is ready. */
  static async start(options: SessionsServiceOptions): Promise<SessionsService> {
    const started = run("sekisho sessions", ["sessions"], options);
    options.killed?.addEventListener("abort", () => void started.kill(), { once: true });
    return new SessionsService(started, await untilListening(started, START_TIMEOUT_MS));
  }

  get url(): string {
    return `http://${this.listen}`;
  }

  /** Where nodes find the public keys. */
  get jwksUrl(): string {
    return `${this.url}/.well-known/jwks.json`;
  }
}

/**
 * `sekisho sessions admin create`: the first operator and a password for one login. With a folder
 * as database the service must not be running: the folder has room for one program.
 */
export async function createOperator(
  options: CommandOptions,
  login: string,
): Promise<FirstOperator> {
  const args = ["sessions", "admin", "create", "--login", login, "--json"];
  const { exit, output } = await runToEnd(args, options);
  if (exit.code !== 0) throw new Error(`sekisho ${args.join(" ")}: ${output}`);
  return operatorSchema.parse(parseJsonLine(output));
}

/** Runs a command of `sekisho` that uses the database; `output`: the last lines that it printed. */
export async function runToEnd(
  args: readonly string[],
  options: CommandOptions,
): Promise<{ readonly exit: Exit; readonly output: string }> {
  const started = run(`sekisho ${args.join(" ")}`, args, options);
  try {
    const exit = await waitFor(() => (started.running ? undefined : started.exited), {
      what: `${started.name} to end`,
      timeoutMs: COMMAND_TIMEOUT_MS,
    });
    return { exit, output: started.lines.join("\n") };
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
  const settings = {
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
  };
  return startSekisho(name, args, settings, options.installation);
}
