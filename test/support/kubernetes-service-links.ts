/** What the kubelet sets in a pod for a Service in its namespace (`enableServiceLinks`). */

export interface ServicePort {
  readonly port: number;
  readonly name?: string;
  readonly protocol?: "TCP" | "UDP" | "SCTP";
}

/** The variables of one Service, as the kubelet names and writes them. */
export function linksOf(
  service: string,
  address: string,
  ports: readonly [ServicePort, ...ServicePort[]],
): Record<string, string> {
  const name = variableName(service);
  const host = address.includes(":") ? `[${address}]` : address;
  const links: Record<string, string> = {
    [`${name}_SERVICE_HOST`]: address,
    [`${name}_SERVICE_PORT`]: String(ports[0].port),
  };
  for (const [index, { port, name: portName, protocol = "TCP" }] of ports.entries()) {
    const scheme = protocol.toLowerCase();
    const url = `${scheme}://${host}:${port}`;
    const prefix = `${name}_PORT_${port}_${protocol}`;
    if (portName !== undefined) links[`${name}_SERVICE_PORT_${variableName(portName)}`] = `${port}`;
    if (index === 0) links[`${name}_PORT`] = url;
    links[prefix] = url;
    links[`${prefix}_PROTO`] = scheme;
    links[`${prefix}_PORT`] = String(port);
    links[`${prefix}_ADDR`] = address;
  }
  return links;
}

function variableName(text: string): string {
  return text.replaceAll("-", "_").toUpperCase();
}
