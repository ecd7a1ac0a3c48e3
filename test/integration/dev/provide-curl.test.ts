import { execFile } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";

import { afterEach, beforeEach, expect, test } from "@jest/globals";

import { repositoryRoot } from "../../../dev/repository.js";

const run = promisify(execFile);
const MODULE = pathToFileURL(join(repositoryRoot(), "dev/provide-curl.mjs")).href;

/** The only folder on PATH. */
let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "provide-curl-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function writeProgram(name: string, body: string): void {
  writeFileSync(join(folder, name), `#!/bin/sh\n${body}\n`);
  chmodSync(join(folder, name), 0o755);
}

/** What it said, then its result or fault. */
async function provide(uid = 0): Promise<string> {
  const driver = `
    import { provideCurl } from ${JSON.stringify(MODULE)};
    process.getuid = () => ${uid};
    const context = { env: { PATH: ${JSON.stringify(folder)} }, stop: new AbortController().signal };
    try {
      console.log(await provideCurl(context, (text) => console.log(text)));
    } catch (fault) {
      console.log(fault.message);
    }`;
  const { stdout } = await run(process.execPath, ["--input-type=module", "-e", driver]);
  return stdout.trim();
}

const CURL = "echo 'curl 8.5.0 (a machine) libcurl/8.5.0'";

test("a curl on PATH is used", async () => {
  writeProgram("curl", CURL);
  expect(await provide(1000)).toBe(`8.5.0 at ${join(folder, "curl")}`);
});

test("where there is none, Debian's is installed", async () => {
  const installed = `printf '#!/bin/sh\\n${CURL.replaceAll("'", '"')}\\n' > '${join(folder, "curl")}'`;
  writeProgram("apt-get", `${installed}\n/bin/chmod 755 '${join(folder, "curl")}'`);
  expect(await provide()).toBe(
    `installing curl with apt-get\n8.5.0 at ${join(folder, "curl")}, installed with apt-get`,
  );
});

test("what cannot be installed is asked of the user", async () => {
  expect(await provide()).toMatch(/not found on PATH, and there is no apt-get[^]*Install it/);
  writeProgram("apt-get", "echo 'E: no such package'; exit 100");
  expect(await provide(1000)).toMatch(/only root can install a package here[^]*Install it/);
  expect(await provide()).toMatch(/could not install curl:[^]*E: no such package[^]*Install it/);
});

test("what answers to the name and is no curl is refused", async () => {
  writeProgram("curl", "echo nonsense");
  expect(await provide()).toContain("does not answer as curl does");
});
