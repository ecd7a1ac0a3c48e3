/**
 * One Envoy with the listener of envoy.yaml and a second one: the same without the ext_authz filter.
 * Both share the worker thread, the API and its connections, so the filter is the only difference.
 */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { z } from "zod";

import { StartedProcess } from "../../dev/child-process.js";
import { readEnvoyConfig, withAddresses } from "../../dev/envoy-config.js";
import type { EnvoyConfig, SocketAddress } from "../../dev/envoy-config.js";
import { findEnvoy } from "../../dev/envoy-process.js";

export const SIDES = ["without", "with"] as const;
/** Without or with the filter. */
export type Side = (typeof SIDES)[number];

const START_TIMEOUT_MS = 15_000;
const ADMIN_TIMEOUT_MS = 2_000;
const FILTER = "envoy.filters.http.ext_authz";
/** Set apart the second listener's name and statistics. */
const SUFFIX = "-without-sekisho";

const listenerSchema = z.looseObject({
  name: z.string(),
  filter_chains: z.tuple([
    z.looseObject({
      filters: z.tuple([
        z.looseObject({
          typed_config: z.looseObject({
            stat_prefix: z.string(),
            http_filters: z.array(z.looseObject({ name: z.string() })),
          }),
        }),
      ]),
    }),
  ]),
});
type Listener = z.infer<typeof listenerSchema>;

const listeningSchema = z.object({
  listener_statuses: z.array(
    z.object({
      name: z.string(),
      local_address: z.object({ socket_address: z.object({ port_value: z.number().int() }) }),
    }),
  ),
});
const serverInfoSchema = z.object({ version: z.string() });

export interface TwoSidedConfig extends Record<string, unknown> {
  readonly static_resources: { readonly listeners: readonly [with_: Listener, without: Listener] };
}

/** A copy of the configuration with the second listener. */
export function withSecondListener(config: EnvoyConfig): TwoSidedConfig {
  const copy = structuredClone(config);
  const first = listenerSchema.parse(copy.static_resources.listeners[0]);
  const second = structuredClone(first);
  second.name += SUFFIX;
  const manager = second.filter_chains[0].filters[0].typed_config;
  manager.stat_prefix += SUFFIX;
  const others = manager.http_filters.filter(({ name }) => name !== FILTER);
  if (others.length !== manager.http_filters.length - 1) {
    throw new Error(`envoy.yaml does not have exactly one filter ${FILTER}`);
  }
  manager.http_filters = others;
  return { ...copy, static_resources: { ...copy.static_resources, listeners: [first, second] } };
}

export class TwoSidedEnvoy {
  /** Of the two listeners, on the loopback interface. */
  readonly ports: Readonly<Record<Side, number>>;
  readonly version: string;
  readonly #process: StartedProcess;
  readonly #folder: string;

  private constructor(started: StartedProcess, folder: string, facts: Facts) {
    this.#process = started;
    this.#folder = folder;
    this.ports = facts.ports;
    this.version = facts.version;
  }

  /** Starts it with one worker thread and waits until it listens. */
  static async start(peers: {
    readonly api: SocketAddress;
    readonly sekisho: SocketAddress;
  }): Promise<TwoSidedEnvoy> {
    const file = findEnvoy();
    const free = { listener: { port: 0 }, admin: { port: 0 } };
    const given = withAddresses(await readEnvoyConfig(), { ...free, ...peers });
    const config = withSecondListener(given);
    const folder = await mkdtemp(join(tmpdir(), "sekisho-envoy-"));
    const configFile = join(folder, "envoy.json");
    const adminFile = join(folder, "admin-address");
    await writeFile(configFile, JSON.stringify(config));
    const started = new StartedProcess({
      name: "envoy",
      file,
      args: [
        ...["--config-path", configFile, "--admin-address-path", adminFile],
        ...["--disable-hot-restart", "--concurrency", "1", "--log-level", "warning"],
      ],
    });
    try {
      const names = config.static_resources.listeners.map(({ name }) => name);
      return new TwoSidedEnvoy(
        started,
        folder,
        await waitUntilItListens(started, adminFile, names),
      );
    } catch (error) {
      await started.kill();
      await rm(folder, { recursive: true, force: true });
      throw error;
    }
  }

  /** Ends it at once and removes its folder. */
  async close(): Promise<void> {
    await this.#process.kill();
    await rm(this.#folder, { recursive: true, force: true });
  }
}

type Facts = Pick<TwoSidedEnvoy, "ports" | "version">;

async function waitUntilItListens(
  started: StartedProcess,
  adminFile: string,
  [withName, withoutName]: readonly string[],
): Promise<Facts> {
  const bounds = { what: "it was ready", timeoutMs: START_TIMEOUT_MS };
  const admin = await started.waitFor(async () => {
    const address = await readFile(adminFile, "utf8").catch(() => "");
    if (address === "") return undefined;
    const state = await readText(`http://${address}/ready`).catch(() => "");
    return state.trim() === "LIVE" ? `http://${address}` : undefined;
  }, bounds);
  const listening: unknown = JSON.parse(await readText(`${admin}/listeners?format=json`));
  const { listener_statuses: statuses } = listeningSchema.parse(listening);
  const portOf = (wanted: string | undefined): number => {
    const found = statuses.find(({ name }) => name === wanted);
    if (found === undefined) throw started.failure(`does not listen as ${wanted ?? "anything"}`);
    return found.local_address.socket_address.port_value;
  };
  const info: unknown = JSON.parse(await readText(`${admin}/server_info`));
  return {
    ports: { with: portOf(withName), without: portOf(withoutName) },
    version: serverInfoSchema.parse(info).version.split("/")[1] ?? "unknown",
  };
}

async function readText(url: string): Promise<string> {
  const response = await fetch(url, { signal: AbortSignal.timeout(ADMIN_TIMEOUT_MS) });
  return response.text();
}
