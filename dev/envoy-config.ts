/**
 * The repository's envoy.yaml with other socket addresses. Demo, tests and benchmark run the file
 * that users get, so nothing else in it is ever changed, and a test compares the two.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";

import { parse } from "yaml";
import { z } from "zod";

import { repositoryRoot } from "./repository.js";

/** A port of the loopback interface (0 for a free one) or the path of a Unix socket. */
export type SocketAddress = { readonly port: number } | { readonly path: string };

export interface EnvoyAddresses {
  readonly listener: SocketAddress;
  readonly admin: SocketAddress;
  readonly api: SocketAddress;
  readonly sekisho: SocketAddress;
}

const located = z.looseObject({ address: z.json() });
const clusterSchema = z.looseObject({
  name: z.string(),
  load_assignment: z.looseObject({
    endpoints: z.tuple([
      z.looseObject({ lb_endpoints: z.tuple([z.looseObject({ endpoint: located })]) }),
    ]),
  }),
});
const configSchema = z.looseObject({
  admin: located,
  static_resources: z.looseObject({
    listeners: z.tuple([located]),
    clusters: z.array(clusterSchema),
  }),
});
export type EnvoyConfig = z.infer<typeof configSchema>;

/** Reads envoy.yaml, or a file like it: one listener, one endpoint in each cluster. */
export async function readEnvoyConfig(
  file = join(repositoryRoot(), "envoy.yaml"),
): Promise<EnvoyConfig> {
  const content: unknown = parse(await readFile(file, "utf8"));
  return configSchema.parse(content);
}

/** A copy of the configuration with these addresses. */
export function withAddresses(config: EnvoyConfig, addresses: EnvoyAddresses): EnvoyConfig {
  const copy = structuredClone(config);
  copy.admin.address = toEnvoy(addresses.admin);
  copy.static_resources.listeners[0].address = toEnvoy(addresses.listener);
  endpointOf(copy, "api").address = toEnvoy(addresses.api);
  endpointOf(copy, "sekisho").address = toEnvoy(addresses.sekisho);
  return copy;
}

function endpointOf(config: EnvoyConfig, clusterName: string): z.infer<typeof located> {
  const cluster = config.static_resources.clusters.find(({ name }) => name === clusterName);
  if (cluster === undefined) throw new Error(`envoy.yaml has no cluster ${clusterName}`);
  return cluster.load_assignment.endpoints[0].lb_endpoints[0].endpoint;
}

function toEnvoy(address: SocketAddress): z.infer<ReturnType<typeof z.json>> {
  return "path" in address
    ? { pipe: { path: address.path } }
    : { socket_address: { address: "127.0.0.1", port_value: address.port } };
}
