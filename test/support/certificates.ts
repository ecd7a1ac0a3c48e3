/** Certificates of an authority of a test's own, made by openssl in a folder. */
import { execFile } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

export interface Authority {
  readonly ca: string;
  readonly caKey: string;
}

export interface CertificateFiles {
  readonly cert: string;
  readonly key: string;
}

const NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

export async function makeAuthority(folder: string, name: string): Promise<Authority> {
  const [ca, caKey] = [join(folder, `${name}.crt`), join(folder, `${name}.key`)];
  const subject = ["-subj", `/CN=${name}`, "-days", "2"];
  await run("openssl", ["req", "-x509", ...NEW_KEY, ...subject, "-keyout", caKey, "-out", ca]);
  return { ca, caKey };
}

/** For a server on the loopback interface, or one of its clients. */
export async function makeCertificate(
  folder: string,
  name: string,
  { ca, caKey }: Authority,
): Promise<CertificateFiles> {
  const at = (ending: string): string => join(folder, `${name}.${ending}`);
  const [key, request, extensions, cert] = [at("key"), at("csr"), at("ext"), at("crt")];
  await writeFile(extensions, "subjectAltName = IP:127.0.0.1, DNS:localhost\n");
  await run("openssl", [
    "req",
    ...NEW_KEY,
    "-subj",
    `/CN=${name}`,
    "-keyout",
    key,
    "-out",
    request,
  ]);
  const from = ["-CA", ca, "-CAkey", caKey, "-CAcreateserial", "-days", "2"];
  await run("openssl", [
    "x509",
    "-req",
    "-in",
    request,
    ...from,
    "-extfile",
    extensions,
    "-out",
    cert,
  ]);
  return { cert, key };
}
