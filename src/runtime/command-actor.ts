import { userInfo } from "node:os";

/** Who ran the command, as far as this machine knows. */
export function commandActor(): string {
  try {
    return `cli:${userInfo().username}`;
  } catch {
    return "cli";
  }
}
