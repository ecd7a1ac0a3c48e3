import { z } from "zod";

import { parseJsonLine } from "../../dev/child-process.js";
import { echoSchema } from "../../dev/echo-api.js";
import type { HttpAnswer } from "./http-sender.js";

export const ownerSchema = z.object({ tenant: z.string(), user: z.string(), session: z.string() });
/** Whose a token is. */
export type Owner = z.infer<typeof ownerSchema>;

/**
 * What is wrong with an answer of the echo API through Envoy; undefined: nothing.
 *
 * @param owner whom the identity headers must name; undefined: there must be none
 */
export function faultOfAnswer(answer: HttpAnswer, owner: Owner | undefined): string | undefined {
  if (answer.status !== 200) return `answered ${answer.status} ${answer.body.slice(0, 200)}`;
  const echo = echoSchema.safeParse(parseJsonLine(answer.body));
  if (!echo.success) return `the answer is not the API's: ${answer.body.slice(0, 200)}`;
  const { headers } = echo.data;
  const expected = {
    "x-auth-tenant-id": owner?.tenant,
    "x-auth-user-id": owner?.user,
    "x-auth-session-id": owner?.session,
  };
  for (const [name, value] of Object.entries(expected)) {
    if (headers[name] === value) continue;
    return `the API saw ${name}: ${headers[name] ?? "(none)"} instead of ${value ?? "(none)"}`;
  }
  return undefined;
}
