/**
 * Kubernetes sets variables for each Service into every pod of its namespace, unless the pod says
 * `enableServiceLinks: false`. A Service named `sekisho` or `sekisho-…` makes names that begin as
 * ours do. Name and value distinguish them from a mistyped setting: `SEKISHO_PORT=9191` is a mistake,
 * `SEKISHO_PORT=tcp://10.96.0.17:9191` comes from Kubernetes.
 */
import { isIP } from "node:net";

interface Shape {
  readonly name: RegExp;
  /** `port` and `protocol` are those in the name, where it has them. */
  readonly isValue: (value: string, port?: string, protocol?: string) => boolean;
}

/** A Service's name as the kubelet writes it: upper case, underscores for hyphens. */
const SERVICE = "SEKISHO(?:_[A-Z0-9_]*[A-Z0-9])?";
const PORT = "[1-9][0-9]{0,4}";
const PORT_PREFIX = `${SERVICE}_PORT_(${PORT})_(TCP|UDP|SCTP)`;

const SHAPES: readonly Shape[] = [
  { name: shape(`${SERVICE}_SERVICE_HOST`), isValue: isAddress },
  { name: shape(`${SERVICE}_SERVICE_PORT(?:_[A-Z0-9_]*[A-Z0-9])?`), isValue: isPort },
  { name: shape(`${SERVICE}_PORT`), isValue: (value) => isEndpoint(value) },
  { name: shape(PORT_PREFIX), isValue: isEndpoint },
  { name: shape(`${PORT_PREFIX}_PROTO`), isValue: (value, _port, protocol) => value === protocol },
  { name: shape(`${PORT_PREFIX}_PORT`), isValue: (value, port) => isPort(value) && value === port },
  { name: shape(`${PORT_PREFIX}_ADDR`), isValue: isAddress },
];

/** Whether Kubernetes may set a variable of this name. No setting may have such a name. */
export function isServiceLinkName(name: string): boolean {
  return SHAPES.some((one) => one.name.test(name));
}

export function isServiceLink(name: string, value: string): boolean {
  return SHAPES.some((one) => {
    const [matched, port, protocol] = one.name.exec(name) ?? [];
    return matched !== undefined && one.isValue(value, port, protocol?.toLowerCase());
  });
}

/** The names of those that are set, in order. */
export function serviceLinks(env: Readonly<Record<string, string | undefined>>): readonly string[] {
  return Object.keys(env)
    .filter((name) => isServiceLink(name, env[name] ?? ""))
    .sort();
}

function shape(pattern: string): RegExp {
  return new RegExp(`^${pattern}$`);
}

function isAddress(value: string): boolean {
  // A Service's address has no zone.
  return isIP(value) !== 0 && !value.includes("%");
}

function isPort(value: string): boolean {
  return new RegExp(`^${PORT}$`).test(value) && Number(value) <= 65_535;
}

/** `tcp://10.96.0.17:9191` or `tcp://[fd00::1]:9191` */
function isEndpoint(value: string, port?: string, protocol?: string): boolean {
  const parts = /^(tcp|udp|sctp):\/\/(?:\[([^\]]+)\]|([^:]+)):([0-9]+)$/.exec(value);
  if (parts === null) return false;
  const [, scheme, ipv6, ipv4, endpointPort = ""] = parts;
  const isHost = ipv6 === undefined ? isIP(ipv4 ?? "") === 4 : isIP(ipv6) === 6 && isAddress(ipv6);
  if (!isHost || !isPort(endpointPort)) return false;
  return (port ?? endpointPort) === endpointPort && (protocol ?? scheme) === scheme;
}
