import { userInfo } from "node:os";

/** Who ran the command: the user of the operating system. */
export function commandActor(): string {
  try {
    return `cli:${userInfo().username}`;
  } catch {
    return "cli";
  }
}
