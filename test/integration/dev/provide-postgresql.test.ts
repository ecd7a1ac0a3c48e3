import { execFile } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { readdirSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";

import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";

import { repositoryRoot } from "../../../dev/repository.js";

const run = promisify(execFile);
const MODULE = pathToFileURL(join(repositoryRoot(), "dev/provide-postgresql.mjs")).href;

/** Stands for the machine: its PATH, Debian's folder of versions, the package's settings. */
let sandbox = "";
const inSandbox = (...names: readonly string[]) => join(sandbox, ...names);

beforeEach(() => {
  sandbox = mkdtempSync(join(tmpdir(), "provide-postgresql-"));
  mkdirSync(inSandbox("bin"));
  mkdirSync(inSandbox("etc"));
});
afterEach(() => rmSync(sandbox, { recursive: true, force: true }));

function writeProgram(path: string, body: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `#!/bin/sh\n${body}\n`);
  chmodSync(path, 0o755);
}

function writePrograms(folder: string, version: string): void {
  writeProgram(join(folder, "initdb"), "exit 0");
  writeProgram(join(folder, "postgres"), `echo 'postgres (PostgreSQL) ${version} (Debian)'`);
}

/** An apt-get in JavaScript; what it was asked for is written down, with the settings it saw. */
function writeAptGet(script: string): void {
  const path = inSandbox("apt-get.cjs");
  writeFileSync(
    path,
    `const { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } = require("node:fs");
     const verb = process.argv.find((one) => one === "install" || one === "update");
     const settings = ${JSON.stringify(inSandbox("etc", "common", "createcluster.d"))};
     const seen = readdirSync(settings).map((name) => readFileSync(settings + "/" + name, "utf8"));
     appendFileSync(${JSON.stringify(inSandbox("asked"))}, JSON.stringify({ verb, seen }) + "\\n");
     const earlier = readFileSync(${JSON.stringify(inSandbox("asked"))}, "utf8").split("\\n").length - 2;
     ${script}`,
  );
  writeProgram(inSandbox("bin", "apt-get"), `exec '${process.execPath}' '${path}' "$@"`);
}

const INSTALL = (folder: string) => `
  mkdirSync(${JSON.stringify(folder)}, { recursive: true });
  for (const name of ["initdb", "postgres"]) {
    const body = "#!/bin/sh\\necho 'postgres (PostgreSQL) 15.18'\\n";
    writeFileSync(${JSON.stringify(folder)} + "/" + name, body, { mode: 0o755 });
  }`;

function asked(): readonly string[] {
  return readFileSync(inSandbox("asked"), "utf8").trim().split("\n");
}

/** Runs it as the given user on the sandbox's machine; what it said, then its result or fault. */
async function provide(
  env: Readonly<Record<string, string>> = {},
  uid = 0,
): Promise<readonly string[]> {
  const context = {
    env: { PATH: inSandbox("bin"), ...env },
    debianPrograms: inSandbox("lib"),
    debianSettings: inSandbox("etc", "common", "createcluster.d"),
  };
  const driver = `
    import { providePostgresql } from ${JSON.stringify(MODULE)};
    process.getuid = () => ${uid};
    const context = { ...${JSON.stringify(context)}, stop: new AbortController().signal };
    try {
      const { path, outcome } = await providePostgresql(context, (text) => console.log(text));
      console.log(path + "\\n" + outcome);
    } catch (error) {
      console.log(error.name + " " + error.exitCode + "\\n" + error.message);
    }`;
  const { stdout } = await run(process.execPath, ["--input-type=module", "-e", driver]);
  return stdout.trimEnd().split("\n");
}

describe("PostgreSQL's programs", () => {
  test("are those on PATH, wherever else there are some", async () => {
    writePrograms(inSandbox("bin"), "14.1");
    writePrograms(inSandbox("lib", "15", "bin"), "15.18");
    expect(await provide()).toEqual([inSandbox("bin"), `14.1 in ${inSandbox("bin")}`]);
  });

  test("are else the newest of Debian's that are complete", async () => {
    writePrograms(inSandbox("bin"), "13.22");
    writePrograms(inSandbox("lib", "9.6", "bin"), "9.6.24");
    writePrograms(inSandbox("lib", "14", "bin"), "14.19");
    writePrograms(inSandbox("lib", "15", "bin"), "15.18");
    writeProgram(inSandbox("lib", "16", "bin", "initdb"), "exit 0");
    const folder = inSandbox("lib", "15", "bin");
    expect(await provide()).toEqual([folder, `15.18 in ${folder}`]);
  });

  test("are else those in the folder that pg_config names", async () => {
    const folder = inSandbox("opt", "bin");
    writePrograms(folder, "17beta1");
    writeProgram(inSandbox("bin", "pg_config"), `echo '${folder}'`);
    expect(await provide()).toEqual([folder, `17beta1 in ${folder}`]);
  });

  test("are those in the folder of SEKISHO_POSTGRES and no others", async () => {
    writePrograms(inSandbox("bin"), "15.18");
    const mine = inSandbox("mine");
    writePrograms(mine, "18.1");
    expect(await provide({ SEKISHO_POSTGRES: mine })).toEqual([
      mine,
      `18.1 in ${mine} (SEKISHO_POSTGRES)`,
    ]);
    writePrograms(mine, "13.22");
    const said = await provide({ SEKISHO_POSTGRES: mine });
    expect(said[0]).toBe("SetUpFault 2");
    expect(said[1]).toContain(`SEKISHO_POSTGRES is "${mine}", which is not a folder with initdb`);
  });

  test("are asked of the user where there is no apt-get, or he is not root", async () => {
    const withoutApt = await provide();
    expect(withoutApt[0]).toBe("SetUpFault 1");
    expect(withoutApt.join("\n")).toMatch(/not found on PATH[^]*no apt-get[^]*SEKISHO_POSTGRES/);
    writeAptGet("");
    const asUser = await provide({}, 1000);
    expect(asUser[0]).toBe("SetUpFault 1");
    expect(asUser.join("\n")).toMatch(
      /only root can install a package here[^]*as root: apt-get install/,
    );
    expect(existsSync(inSandbox("asked"))).toBe(false);
  });
});

describe("Debian's package", () => {
  const NO_CLUSTER = ["# Until Sekisho's set-up has ended.\ncreate_main_cluster = off\n"];

  test("is installed while a setting keeps it from starting a server, which goes again", async () => {
    const folder = inSandbox("lib", "15", "bin");
    writeAptGet(INSTALL(folder));
    expect(await provide()).toEqual([
      "installing postgresql with apt-get",
      folder,
      `15.18 in ${folder}, installed with apt-get as postgresql`,
    ]);
    expect(asked()).toEqual([JSON.stringify({ verb: "install", seen: NO_CLUSTER })]);
    expect(readdirSync(inSandbox("etc"))).toEqual([]);
  });

  test("is installed a second time with new lists, and keeps what it put beside", async () => {
    const folder = inSandbox("lib", "15", "bin");
    writeAptGet(`
      if (earlier === 0) process.exit(100);
      if (verb === "install") {
        writeFileSync(settings + "/../createcluster.conf", "ssl = on");
        ${INSTALL(folder)}
      }`);
    const said = await provide();
    expect(said.slice(0, 3)).toEqual([
      "installing postgresql with apt-get",
      "updating apt-get's package lists",
      "installing postgresql with apt-get",
    ]);
    expect(said[3]).toBe(folder);
    expect(asked()).toEqual(
      ["install", "update", "install"].map((verb) => JSON.stringify({ verb, seen: NO_CLUSTER })),
    );
    expect(readdirSync(inSandbox("etc", "common"))).toEqual(["createcluster.conf"]);
  });

  test("leaves nothing and tells what apt-get said where it cannot be had", async () => {
    writeAptGet(`console.error("E: no " + verb + " today"); process.exit(100);`);
    const said = (await provide()).join("\n");
    expect(said).toContain("SetUpFault 1");
    expect(said).toContain("    E: no update today\n    E: no install today\n");
    expect(said).toContain("  Any one of these will do; then run this again:");
    expect(readdirSync(inSandbox("etc"))).toEqual([]);
  });

  test("that brings no programs is not believed", async () => {
    writeAptGet("");
    const said = (await provide()).join("\n");
    expect(said).toMatch(/SetUpFault 1\n.*is installed, but it brought no PostgreSQL 14 or later/);
  });
});
