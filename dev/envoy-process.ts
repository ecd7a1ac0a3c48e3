import { accessSync, constants } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";

import { z } from "zod";

import { StartedProcess, parseJsonLine } from "./child-process.js";
import { readEnvoyConfig, withAddresses } from "./envoy-config.js";
import type { EnvoyConfig, SocketAddress } from "./envoy-config.js";
import { waitFor } from "./wait-for.js";

/** Envoy waits for its first health checks before it listens. */
const START_TIMEOUT_MS = 60_000;
const ADMIN_TIMEOUT_MS = 15_000;
/** Envoy writes its access log in batches; its default of ten seconds is long for a test. */
const LOG_FLUSH_MS = 20;
/** How many of the latest access-log lines are buffered. */
const ACCESS_LOG_LINES_MAX = 10_000;

export interface EnvoyOptions {
  readonly name?: string;
  readonly api: SocketAddress;
  readonly sekisho: SocketAddress;
  /** Worker threads; 1 if left out. */
  readonly concurrency?: number;
  /** In place of the repository's envoy.yaml; its addresses are replaced as well. */
  readonly config?: EnvoyConfig;
}

const accessLogSchema = z.record(z.string(), z.json());
/** A line of the access log, by the names that envoy.yaml gives; what is not known is null. */
export type AccessLogEntry = z.infer<typeof accessLogSchema>;

const listenersSchema = z.object({
  listener_statuses: z.tuple([
    z.object({
      local_address: z.object({ socket_address: z.object({ port_value: z.number().int() }) }),
    }),
  ]),
});

/** One Envoy on free loopback ports, in front of one API and asking one Sekisho. */
export class EnvoyProcess {
  /** `http://127.0.0.1:…` of the listener and of the admin interface. */
  readonly url: string;
  readonly adminUrl: string;
  readonly #process: StartedProcess;
  readonly #folder: string;
  readonly #accessLog: AccessLogEntry[] = [];

  private constructor(
    started: StartedProcess,
    place: { folder: string; url: string; adminUrl: string },
  ) {
    this.#process = started;
    this.#folder = place.folder;
    this.url = place.url;
    this.adminUrl = place.adminUrl;
    started.onLine((line) => this.#keepIfAccessLog(line));
  }

  /** Starts Envoy with envoy.yaml and waits until it listens. */
  static async start(options: EnvoyOptions): Promise<EnvoyProcess> {
    const file = findEnvoy();
    const config = withAddresses(options.config ?? (await readEnvoyConfig()), {
      listener: { port: 0 },
      admin: { port: 0 },
      api: options.api,
      sekisho: options.sekisho,
    });
    const folder = await mkdtemp(join(tmpdir(), "sekisho-envoy-"));
    const configFile = join(folder, "envoy.json");
    const adminFile = join(folder, "admin-address");
    await writeFile(configFile, JSON.stringify(config));
    const started = new StartedProcess({
      name: options.name ?? "envoy",
      file,
      args: [
        ...["--config-path", configFile, "--admin-address-path", adminFile],
        ...["--disable-hot-restart", "--concurrency", String(options.concurrency ?? 1)],
        ...["--log-level", "warning", "--file-flush-interval-msec", String(LOG_FLUSH_MS)],
      ],
    });
    try {
      const urls = await waitUntilItListens(started, adminFile);
      return new EnvoyProcess(started, { folder, ...urls });
    } catch (error) {
      await started.kill();
      await rm(folder, { recursive: true, force: true });
      throw error;
    }
  }

  get pid(): number | undefined {
    return this.#process.pid;
  }

  get lines(): readonly string[] {
    return this.#process.lines;
  }

  get accessLog(): readonly AccessLogEntry[] {
    return this.#accessLog;
  }

  /** Waits for a line of the access log, written or yet to come, of the request with this id. */
  async accessLogOf(requestId: string, timeoutMs = 30_000): Promise<AccessLogEntry> {
    return this.#process.waitFor(
      () => this.#accessLog.find((entry) => entry["request_id"] === requestId),
      { what: `its access-log line of request ${requestId}`, timeoutMs },
    );
  }

  /** The value of one of Envoy's counters or gauges; undefined if it has none of that name. */
  async statistic(name: string): Promise<number | undefined> {
    const query = new URLSearchParams({ filter: `^${name.replaceAll(".", "\\.")}$` });
    const text = await readText(`${this.adminUrl}/stats?${query.toString()}`);
    const value = /: (\d+)$/mu.exec(text)?.[1];
    return value === undefined ? undefined : Number(value);
  }

  /** Ends it at once, with the requests that it has, and removes its folder. */
  async close(): Promise<void> {
    await this.#process.kill();
    await rm(this.#folder, { recursive: true, force: true });
  }

  #keepIfAccessLog(line: string): void {
    const entry = accessLogSchema.safeParse(parseJsonLine(line));
    if (!entry.success) return;
    this.#accessLog.push(entry.data);
    if (this.#accessLog.length > ACCESS_LOG_LINES_MAX) this.#accessLog.shift();
  }
}

/** Has Envoy validate a configuration; returns its output. */
export async function validateEnvoyConfig(
  file: string,
): Promise<{ valid: boolean; output: string }> {
  const started = new StartedProcess({
    name: "envoy --mode validate",
    file: findEnvoy(),
    args: ["--mode", "validate", "--config-path", file, "--log-level", "warning"],
  });
  try {
    const exit = await waitFor(() => (started.running ? undefined : started.exited), {
      what: "envoy --mode validate to end",
      timeoutMs: START_TIMEOUT_MS,
    });
    return { valid: exit.code === 0, output: started.lines.join("\n") };
  } finally {
    await started.kill();
  }
}

/** The Envoy of SEKISHO_ENVOY, else the one on PATH. */
export function findEnvoy(environment: NodeJS.ProcessEnv = process.env): string {
  const chosen = environment["SEKISHO_ENVOY"];
  if (chosen !== undefined && chosen !== "") {
    if (isExecutable(chosen)) return chosen;
    throw new Error(`SEKISHO_ENVOY is ${chosen}, which is not a program that can be run`);
  }
  const folders = (environment["PATH"] ?? "").split(delimiter);
  const found = folders.map((folder) => join(folder, "envoy")).find(isExecutable);
  if (found !== undefined) return found;
  throw new Error("there is no envoy on PATH, and SEKISHO_ENVOY does not name one");
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

async function waitUntilItListens(
  started: StartedProcess,
  adminFile: string,
): Promise<{ url: string; adminUrl: string }> {
  const adminUrl = await started.waitFor(
    async () => {
      const address = await readFile(adminFile, "utf8").catch(() => "");
      return address === "" ? undefined : `http://${address}`;
    },
    { what: "it wrote the address of its admin interface", timeoutMs: START_TIMEOUT_MS },
  );
  await started.waitFor(
    async () => {
      const state = await readText(`${adminUrl}/ready`).catch(() => "");
      return state.trim() === "LIVE" || undefined;
    },
    { what: "it was ready", timeoutMs: START_TIMEOUT_MS },
  );
  const listeners: unknown = JSON.parse(await readText(`${adminUrl}/listeners?format=json`));
  const [listener] = listenersSchema.parse(listeners).listener_statuses;
  const port = listener.local_address.socket_address.port_value;
  return { adminUrl, url: `http://127.0.0.1:${port}` };
}

async function readText(url: string): Promise<string> {
  const response = await fetch(url, { signal: AbortSignal.timeout(ADMIN_TIMEOUT_MS) });
  return response.text();
}
