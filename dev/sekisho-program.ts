import { join } from "node:path";

import { z } from "zod";

import { StartedProcess, describeExit, parseJsonLine, type Exit } from "./child-process.js";
import { repositoryRoot } from "./repository.js";

/** Far more than it takes, for a machine that stalls now and then. */
const OPS_TIMEOUT_MS = 15_000;
/** The programs promise to end within 10 s of SIGTERM. */
const STOP_TIMEOUT_MS = 12_000;

const listeningSchema = z.object({
  msg: z.literal("listening"),
  listen: z.string(),
  ops: z.string(),
});

/** Where a program listens, from its own log line. */
export type Listening = z.infer<typeof listeningSchema>;

/**
 * A command of the compiled program, with these settings and none of the caller's own.
 * `installation`: the folder of another version.
 */
export function startSekisho(
  name: string,
  args: readonly string[],
  settings: Readonly<Record<string, string>>,
  installation = repositoryRoot(),
): StartedProcess {
  return new StartedProcess({
    name,
    file: process.execPath,
    args: [mainIn(installation), ...args],
    env: { ...environmentWithoutSettings(process.env), ...settings },
  });
}

/** The compiled program of the version in this folder. */
export function mainIn(installation: string): string {
  return join(installation, "dist", "src", "main.js");
}

/** The environment without SEKISHO_ names: the caller's own settings must not leak in. */
export function environmentWithoutSettings(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const rest = Object.entries(environment).filter(([name]) => !name.startsWith("SEKISHO_"));
  return Object.fromEntries(rest);
}

/** Waits until it listens, which is before it is ready; kills it if it does not. */
export async function untilListening(
  started: StartedProcess,
  timeoutMs: number,
): Promise<Listening> {
  try {
    return await started.waitForLine(
      (line) => listeningSchema.safeParse(parseJsonLine(line)).data,
      { what: "it listened", timeoutMs },
    );
  } catch (error) {
    await started.kill();
    throw error;
  }
}

/** A program of Sekisho that listens: what the sidecar and the session service have in common. */
export class SekishoProgram {
  /** Where it listens; set to the same, another one takes its place. */
  readonly listen: string;
  readonly opsUrl: string;
  readonly #process: StartedProcess;

  constructor(started: StartedProcess, listening: Listening) {
    this.#process = started;
    this.listen = listening.listen;
    this.opsUrl = `http://${listening.ops}`;
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
  async waitReady(timeoutMs = 60_000): Promise<void> {
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
