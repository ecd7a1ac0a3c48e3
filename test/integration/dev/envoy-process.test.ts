import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";

import { afterAll, beforeAll, expect, test } from "@jest/globals";

import { environmentWithoutSettings } from "../../../dev/sekisho-program.js";
import { findEnvoy } from "../../../dev/envoy-process.js";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "sekisho-test-"));
  await writeFile(join(folder, "envoy"), "#!/bin/sh\n");
  await chmod(join(folder, "envoy"), 0o755);
  await writeFile(join(folder, "not-a-program"), "");
});
afterAll(async () => rm(folder, { recursive: true, force: true }));

test("the Envoy of SEKISHO_ENVOY goes before the one on PATH", () => {
  const file = join(folder, "envoy");
  expect(findEnvoy({ SEKISHO_ENVOY: file, PATH: "/elsewhere" })).toBe(file);
  expect(findEnvoy({ SEKISHO_ENVOY: "", PATH: `/nowhere${delimiter}${folder}` })).toBe(file);
});

test("an Envoy that cannot be run, or none at all, is said so", () => {
  const file = join(folder, "not-a-program");
  expect(() => findEnvoy({ SEKISHO_ENVOY: file, PATH: folder })).toThrow(file);
  expect(() => findEnvoy({ PATH: "/nowhere" })).toThrow("no envoy on PATH");
  expect(() => findEnvoy({})).toThrow("SEKISHO_ENVOY");
});

test("settings of the caller's own do not reach a node", () => {
  expect(environmentWithoutSettings({ SEKISHO_ON_STALE: "allow", PATH: "/bin" })).toEqual({
    PATH: "/bin",
  });
});
