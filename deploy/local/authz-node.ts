import { join } from "node:path";

import { z } from "zod";

import { StartedProcess, describeExit, parseJsonLine } from "./child-process.js";
import type { SocketAddress } from "./envoy-config.js";
import { repositoryRoot } from "./repository.js";
import type { TokenMint } from "./token-mint.js";

const START_TIMEOUT_MS = 15_000;
const READY_TIMEOUT_MS = 15_000;
const OPS_TIMEOUT_MS = 2_000;
/** The program promises to end within 10 s of SIGTERM. */
const STOP_TIMEOUT_MS = 12_000;

export interface AuthzNodeOptions {
  readonly nodeId: string;
  readonly redisUrl: string;
  readonly mint: Pick<TokenMint, "issuer" | "audience" | "jwksFile">;
  /** SEKISHO_LISTEN; a free loopback port if left out. */
  readonly listen?: string;
  /** Further settings by their SEKISHO_ names; these win. */
  readonly settings?: Readonly<Record<string, string>>;
}

const listeningSchema = z.object({
  msg: z.literal("listening"),
  listen: z.string(),
  ops: z.string(),
});

/** One `sekisho authz` as a process of its own, from the compiled program. */
export class AuthzNode {
  readonly nodeId: string;
  /** Where Envoy finds it. */
  readonly address: SocketAddress;
  /** What to set SEKISHO_LISTEN to, to start another one in its place. */
  readonly listen: string;
  readonly opsUrl: string;
  readonly #process: StartedProcess;

  private constructor(nodeId: string, started: StartedProcess, listening: Listening) {
    this.nodeId = nodeId;
    this.#process = started;
    this.listen = listening.listen;
    this.address = toAddress(listening.listen);
    this.opsUrl = `http://${listening.ops}`;
  }

  /** Starts it and waits until it listens, which is before it is ready. */
  static async start(options: AuthzNodeOptions): Promise<AuthzNode> {
    const started = new StartedProcess({
      name: `sekisho authz (${options.nodeId})`,
      file: process.execPath,
      args: [join(repositoryRoot(), "dist", "src", "main.js"), "authz"],
      env: {
        ...environmentWithoutSettings(process.env),
        SEKISHO_LISTEN: options.listen ?? "127.0.0.1:0",
        SEKISHO_OPS_LISTEN: "127.0.0.1:0",
        SEKISHO_REDIS_URL: options.redisUrl,
        SEKISHO_ISSUER: options.mint.issuer,
        SEKISHO_AUDIENCE: options.mint.audience,
        SEKISHO_JWKS_FILE: options.mint.jwksFile,
        SEKISHO_NODE_ID: options.nodeId,
        ...options.settings,
      },
    });
    try {
      const listening = await started.waitForLine(readListening, {
        what: "it listened",
        timeoutMs: START_TIMEOUT_MS,
      });
      return new AuthzNode(options.nodeId, started, listening);
    } catch (error) {
      await started.kill();
      throw error;
    }
  }

  get pid(): number | undefined {
    return this.#process.pid;
  }

  get lines(): readonly string[] {
    return this.#process.lines;
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

  async kill(): Promise<void> {
    await this.#process.kill();
  }

  /**
   * Lets it drain and end.
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

type Listening = z.infer<typeof listeningSchema>;

function readListening(line: string): Listening | undefined {
  return listeningSchema.safeParse(parseJsonLine(line)).data;
}

function toAddress(listen: string): SocketAddress {
  if (listen.startsWith("unix:")) return { path: listen.slice("unix:".length) };
  return { port: Number(listen.slice(listen.lastIndexOf(":") + 1)) };
}

/** The environment without SEKISHO_ names: what the caller set for himself must not slip in. */
export function environmentWithoutSettings(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const rest = Object.entries(environment).filter(([name]) => !name.startsWith("SEKISHO_"));
  return Object.fromEntries(rest);
}
