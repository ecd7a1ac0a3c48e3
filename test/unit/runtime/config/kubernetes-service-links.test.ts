import { describe, expect, test } from "@jest/globals";
import { readAuthzConfig } from "../../../../src/authz/authz-config.js";
import { readOperatorConfig } from "../../../../src/cli/operator-config.js";
import {
  isServiceLink,
  isServiceLinkName,
  serviceLinks,
} from "../../../../src/runtime/config/kubernetes-service-links.js";
import { faultsOfNames, VARIABLES } from "../../../../src/cli/variables.js";
import { linksOf } from "../../../support/kubernetes-service-links.js";

const GRPC = { port: 9191, name: "grpc" } as const;
const OPS = { port: 9192, name: "http-ops" } as const;

describe("what Kubernetes sets for a Service", () => {
  test.each([
    ["sekisho", linksOf("sekisho", "10.96.0.17", [{ port: 9191 }])],
    ["sekisho-sessions", linksOf("sekisho-sessions", "10.96.0.17", [GRPC, OPS])],
    ["sekisho--2", linksOf("sekisho--2", "10.96.0.17", [GRPC])],
    ["sekisho-port", linksOf("sekisho-port", "10.96.0.17", [GRPC])],
    ["an IPv6 cluster", linksOf("sekisho", "fd00:10:96::a", [GRPC, OPS])],
    ["UDP", linksOf("sekisho", "10.96.0.17", [{ port: 53, name: "dns", protocol: "UDP" }])],
    ["SCTP", linksOf("sekisho", "10.96.0.17", [{ port: 1, protocol: "SCTP" }])],
    ["a port name of digits", linksOf("sekisho", "10.96.0.17", [{ port: 65535, name: "80-a" }])],
  ])("is no fault: %s", (_service, links) => {
    expect(Object.keys(links).length).toBeGreaterThanOrEqual(7);
    expect(faultsOfNames(links)).toEqual([]);
    expect(serviceLinks(links)).toEqual(Object.keys(links).sort());
  });

  test("is told from a setting that does not exist", () => {
    const links = linksOf("sekisho-redis", "10.96.0.17", [{ port: 6379 }]);
    const env = {
      ...links,
      SEKISHO_LISTN: "127.0.0.1:1",
      PATH: "/bin",
      OTHER_PORT: "tcp://1.2.3.4:5",
    };
    expect(faultsOfNames(env).map(({ where }) => where)).toEqual(["SEKISHO_LISTN"]);
    expect(serviceLinks(env)).toEqual(Object.keys(links).sort());
  });

  test("changes nothing that a program reads", () => {
    const links = linksOf("sekisho", "10.96.0.17", [GRPC]);
    const env = {
      SEKISHO_REDIS_URL: "redis://redis:6379",
      SEKISHO_ISSUER: "https://issuer.example",
      SEKISHO_AUDIENCE: "api",
      SEKISHO_JWKS_URL: "https://issuer.example/jwks.json",
    };
    expect(readAuthzConfig({ ...env, ...links }, [])).toEqual(readAuthzConfig(env, []));
    expect(readOperatorConfig({ ...env, ...links })).toEqual(readOperatorConfig(env));
  });
});

describe("a mistyped setting stays a fault", () => {
  test.each([
    ["SEKISHO_PORT", "9191"],
    ["SEKISHO_PORT", ""],
    ["SEKISHO_PORT", "tcp://sekisho:9191"],
    ["SEKISHO_PORT", "http://10.0.0.1:80"],
    ["SEKISHO_PORT", "tcp://10.0.0.1"],
    ["SEKISHO_PORT", "tcp://10.0.0.1:0"],
    ["SEKISHO_PORT", "tcp://10.0.0.1:65536"],
    ["SEKISHO_PORT", "tcp://fd00::1:80"],
    ["SEKISHO_PORT", "tcp://[10.0.0.1]:80"],
    ["SEKISHO_PORT", "tcp://10.0.0.1:80/"],
    ["SEKISHO_PORT", " tcp://10.0.0.1:80"],
    ["SEKISHO_SESSIONS_PORT", "8080"],
    ["SEKISHO_REDIS_PORT", "6379"],
    ["SEKISHO_SERVICE_HOST", "sessions.example"],
    ["SEKISHO_SERVICE_HOST", "[fd00::1]"],
    ["SEKISHO_SERVICE_HOST", "fe80::1%eth0"],
    ["SEKISHO_SERVICE_HOST", ""],
    ["SEKISHO_SERVICE_PORT", "http"],
    ["SEKISHO_SERVICE_PORT", "070"],
    ["SEKISHO_SERVICE_PORT_GRPC", "tcp://10.0.0.1:80"],
    ["SEKISHO_SERVICE_PORT_", "80"],
    ["SEKISHO_PORT_80_TCP", "80"],
    ["SEKISHO_PORT_80_TCP", "udp://10.0.0.1:80"],
    ["SEKISHO_PORT_80_TCP", "tcp://10.0.0.1:81"],
    ["SEKISHO_PORT_80_TCP_PROTO", "udp"],
    ["SEKISHO_PORT_80_TCP_PORT", "81"],
    ["SEKISHO_PORT_80_TCP_ADDR", "host"],
    ["SEKISHO_PORT_80_HTTP", "tcp://10.0.0.1:80"],
    ["SEKISHO_PORT_80_TCP_X", "tcp"],
    ["SEKISHO_PORT_080_TCP", "tcp://10.0.0.1:80"],
    ["SEKISHO_HOST", "10.0.0.1"],
    ["SEKISHO__PORT_", "tcp://10.0.0.1:80"],
    ["SEKISHO_x_PORT", "tcp://10.0.0.1:80"],
    ["SEKISHO_LISTEN_ADDR", "10.0.0.1"],
  ])("%s=%j", (name, value) => {
    expect(isServiceLink(name, value)).toBe(false);
    expect(faultsOfNames({ [name]: value }).map(({ where }) => where)).toEqual([name]);
  });
});

test("no setting of ours has a name that Kubernetes may set", () => {
  const names = Object.keys(VARIABLES);
  expect(names.length).toBeGreaterThan(30);
  expect(names.filter(isServiceLinkName)).toEqual([]);
});
