import type { SocketAddress } from "./envoy-config.js";
import { SekishoProgram, startSekisho, untilListening } from "./sekisho-program.js";
import type { TokenMint } from "./token-mint.js";

const START_TIMEOUT_MS = 60_000;

export interface AuthzNodeOptions {
  readonly nodeId: string;
  readonly redisUrl: string;
  readonly mint: Pick<TokenMint, "issuer" | "audience" | "jwksFile">;
  /** SEKISHO_LISTEN; a free loopback port if left out. */
  readonly listen?: string;
  /** Further settings by their SEKISHO_ names; these win. */
  readonly settings?: Readonly<Record<string, string>>;
  /** The folder of another version. */
  readonly installation?: string;
}

/** One `sekisho authz` as a process of its own, from the compiled program. */
export class AuthzNode extends SekishoProgram {
  readonly nodeId: string;

  private constructor(nodeId: string, ...started: ConstructorParameters<typeof SekishoProgram>) {
    super(...started);
    this.nodeId = nodeId;
  }

  /** Where Envoy finds it. */
  get address(): SocketAddress {
    return toAddress(this.listen);
  }

  /** Starts it and waits until it listens, which is before it is ready. */
  static async start(options: AuthzNodeOptions): Promise<AuthzNode> {
    const { nodeId } = options;
    const settings = {
      SEKISHO_LISTEN: options.listen ?? "127.0.0.1:0",
      SEKISHO_OPS_LISTEN: "127.0.0.1:0",
      SEKISHO_REDIS_URL: options.redisUrl,
      SEKISHO_ISSUER: options.mint.issuer,
      SEKISHO_AUDIENCE: options.mint.audience,
      SEKISHO_JWKS_FILE: options.mint.jwksFile,
      SEKISHO_NODE_ID: nodeId,
      ...options.settings,
    };
    const name = `sekisho authz (${nodeId})`;
    const started = startSekisho(name, ["authz"], settings, options.installation);
    return new AuthzNode(nodeId, started, await untilListening(started, START_TIMEOUT_MS));
  }
}

function toAddress(listen: string): SocketAddress {
  if (listen.startsWith("unix:")) return { path: listen.slice("unix:".length) };
  return { port: Number(listen.slice(listen.lastIndexOf(":") + 1)) };
}
