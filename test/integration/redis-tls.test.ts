/** Redis by TLS: an authority of one's own, certificates of clients, files that change. */
import { copyFile, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { takeFreePort } from "../../dev/free-port.js";
import { RedisServer } from "../../dev/redis-server.js";
import { startSekisho } from "../../dev/sekisho-program.js";
import { redisConnections } from "../../src/revocation-log/connection-redis.js";
import { readOperatorConfig } from "../../src/cli/operator-config.js";
import { ConfigError } from "../../src/runtime/config/config-error.js";
import type { RedisSettings, TlsFiles } from "../../src/runtime/config/redis-settings.js";
import { RedisLoginLimits } from "../../src/sessions/limits/login-limits-redis.js";
import { DEFAULT_LIMITS } from "../../src/sessions/limits/login-limits.js";
import { waitUntil } from "../../dev/wait-for.js";
import {
  makeAuthority,
  makeCertificate,
  type Authority,
  type CertificateFiles,
} from "../support/certificates.js";

let folder: string;
let authority: Authority;
let other: Authority;
let client: CertificateFiles;
let server: RedisServer;
let url: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "sekisho-tls-"));
  authority = await makeAuthority(folder, "authority");
  other = await makeAuthority(folder, "other");
  client = await makeCertificate(folder, "client", authority);
  const { cert, key } = await makeCertificate(folder, "server", authority);
  const port = await takeFreePort();
  const files = [
    "--tls-cert-file",
    cert,
    "--tls-key-file",
    key,
    "--tls-ca-cert-file",
    authority.ca,
  ];
  const args = ["--tls-port", String(port), ...files, "--tls-auth-clients", "yes"];
  server = await RedisServer.start({ args });
  url = `rediss://127.0.0.1:${port}`;
});
afterAll(async () => {
  await server.close();
  await rm(folder, { recursive: true, force: true });
});

const filesOf = (change: Partial<TlsFiles> = {}): TlsFiles => ({
  ca: authority.ca,
  ...client,
  ...change,
});

/** "PONG", or why there is none. */
async function ping(settings: RedisSettings, open = redisConnections(settings)): Promise<string> {
  try {
    const connection = await open();
    try {
      return await connection.within(1000, "PING", connection.client.ping());
    } finally {
      connection.close();
    }
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

describe("Redis by TLS", () => {
  it("is reached with its authority and a certificate of the client's own", async () => {
    expect(await ping({ url, tlsFiles: filesOf() })).toBe("PONG");
  });

  it("says what to set where Redis demands a certificate of its clients", async () => {
    const said = await ping({ url, tlsFiles: filesOf({ cert: undefined, key: undefined }) });
    expect(said).toContain(
      "this Redis demands a certificate of its clients: set SEKISHO_REDIS_TLS_CERT_FILE",
    );
  });

  it("says what to set where Redis's certificate is from another authority", async () => {
    const advice = "set SEKISHO_REDIS_TLS_CA_FILE to the authorities";
    expect(await ping({ url, tlsFiles: filesOf({ ca: other.ca }) })).toContain(advice);
    expect(await ping({ url })).toContain(advice);
  });

  it("says what is wrong where the certificate is for another host", async () => {
    const byName = url.replace("127.0.0.1", "[::ffff:127.0.0.1]");
    expect(await ping({ url: byName, tlsFiles: filesOf() })).toContain(
      "is not in Redis's certificate",
    );
  });

  it("reads the files again for each connection, without a restart", async () => {
    const [ca, cert, key] = ["ca", "cert", "key"].map((name) => join(folder, `changing-${name}`));
    const renew = async (from: Authority, { cert: newCert, key: newKey }: CertificateFiles) => {
      await copyFile(from.ca, ca ?? "");
      await copyFile(newCert, cert ?? "");
      await copyFile(newKey, key ?? "");
    };
    await renew(other, await makeCertificate(folder, "foreign", other));
    const settings = { url, tlsFiles: { ca, cert, key } };
    const open = redisConnections(settings);
    expect(await ping(settings, open)).toContain("SEKISHO_REDIS_TLS_CA_FILE");
    await renew(authority, client);
    expect(await ping(settings, open)).toBe("PONG");
    await rm(ca ?? "");
    expect(await ping(settings, open)).toContain(`no such file or directory, open '${ca ?? ""}'`);
    await writeFile(ca ?? "", "half of a file");
    expect(await ping(settings, open)).not.toBe("PONG");
    await renew(authority, client);
    expect(await ping(settings, open)).toBe("PONG");
  });

  it("counts attempts to log in, too", async () => {
    const limits = new RedisLoginLimits({
      redis: { url, tlsFiles: filesOf() },
      settings: DEFAULT_LIMITS,
      onFallback: () => undefined,
      onRecovered: () => undefined,
    });
    try {
      const until = { what: "counting in Redis", timeoutMs: 30_000 };
      await waitUntil(() => limits.countsIn === "redis", until);
    } finally {
      limits.close();
    }
  });
});

describe("a setting of TLS that is wrong", () => {
  const faultsOf = (change: Readonly<Record<string, string>>): readonly string[] => {
    try {
      readOperatorConfig({ SEKISHO_REDIS_URL: url, ...change });
      return [];
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      return error.faults.map(({ where, problem }) => `${where} ${problem}`);
    }
  };
  const CA = "SEKISHO_REDIS_TLS_CA_FILE";
  const CERT = "SEKISHO_REDIS_TLS_CERT_FILE";
  const KEY = "SEKISHO_REDIS_TLS_KEY_FILE";

  it("is a fault that names it", async () => {
    const pair = { [CERT]: client.cert, [KEY]: client.key };
    const { key } = await makeCertificate(folder, "another", authority);
    expect(faultsOf({ [CA]: authority.ca, ...pair })).toEqual([]);
    expect(faultsOf({ [CA]: join(folder, "none") })).toMatchObject([
      expect.stringContaining(`${CA} `),
    ]);
    expect(faultsOf({ [CA]: client.key })).toEqual([
      `${CA} holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)`,
    ]);
    expect(faultsOf({ [CERT]: client.cert })).toEqual([
      `${CERT} is set without ${KEY}: set both or none`,
    ]);
    expect(faultsOf({ [KEY]: client.key })).toEqual([
      `${KEY} is set without ${CERT}: set both or none`,
    ]);
    expect(faultsOf({ ...pair, [KEY]: key })).toEqual([
      `${KEY} is not the unencrypted key, in PEM form, of the certificate in ${client.cert}`,
    ]);
    expect(faultsOf({ [CA]: authority.ca, SEKISHO_REDIS_URL: "redis://h" })).toEqual([
      `${CA} is set, but SEKISHO_REDIS_URL asks for no TLS: rediss://…`,
    ]);
  });

  it("ends the program at its start", async () => {
    const file = join(folder, "none.crt");
    const started = startSekisho("sekisho authz", ["authz"], {
      SEKISHO_REDIS_URL: url,
      SEKISHO_ISSUER: "https://issuer.example",
      SEKISHO_AUDIENCE: "api",
      SEKISHO_JWKS_URL: "http://127.0.0.1:9/jwks",
      [CA]: file,
    });
    const { code } = await started.exited;
    expect(code).toBe(2);
    expect(started.lines.join("\n")).toContain(CA);
    expect(started.lines.join("\n")).toContain(file);
  });
});
