import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/**
 * The top folder of the repository. These files run as TypeScript in tests and compiled below
 * dist/ elsewhere, so it is looked for upwards: it is the first folder that holds both files.
 */
export function repositoryRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!(existsSync(join(folder, "envoy.yaml")) && existsSync(join(folder, "package.json")))) {
    const parent = dirname(folder);
    if (parent === folder)
      throw new Error("the repository's envoy.yaml is nowhere above this file");
    folder = parent;
  }
  return folder;
}
