import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { z } from "zod";

const packageSchema = z.object({ version: z.string() });

/** The version of this package; found from the sources and from the build output. */
export function packageVersion(): string {
  const paths = ["../../package.json", "../../../package.json"].map((path) =>
    fileURLToPath(new URL(path, import.meta.url)),
  );
  const path = paths.find((one) => existsSync(one));
  if (path === undefined) throw new Error("package.json is missing from this installation");
  return packageSchema.parse(JSON.parse(readFileSync(path, "utf8"))).version;
}
