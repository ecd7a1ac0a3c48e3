/** A node that did not run for a while: what it knew may be old, and its first answer counts. */
import { afterAll, afterEach, beforeAll, expect, it } from "@jest/globals";
import { waitUntil } from "../../dev/wait-for.js";
import { endOf } from "../support/following.js";
import { E2eDeployment, untilAnswered, type Pod } from "../support/e2e-deployment.js";

const MAX_STALENESS_MS = 1000;
const REVOKED = "401 session_revoked";
const STALE = "503 revocations_stale";
const ROUNDS = 4;
/** Clients that ask at once, so that one of them is answered first after the pause. */
const ASKERS = 4;

let deployment: E2eDeployment;
let pod: Pod;
let other: Pod;

beforeAll(async () => {
  deployment = await E2eDeployment.open();
  [pod, other] = await Promise.all([deployment.addPod("node-1"), deployment.addPod("node-2")]);
});
afterEach(() => deployment.stopPollers());
afterAll(() => deployment.close());

it("lets nobody pass after a pause who was revoked in it, not even with its first answer", async () => {
  for (let round = 1; round <= ROUNDS; round += 1) {
    const person = { tenant: "acme", user: "ann", session: `laptop-${round}` };
    const ask = { token: deployment.token(person) };
    const askers = Array.from({ length: ASKERS }, (_, number) =>
      deployment.poll(`asker ${number}`, pod.client, "/things", ask),
    );
    for (const asker of askers) await asker.until("200", -Infinity);

    pod.authz.pause();
    const pausedMs = performance.now();
    const acknowledgedMs = await deployment.revoke(endOf(person.session));
    await untilAnswered(other, "/things", ask, REVOKED);
    await waitUntil(() => performance.now() > pausedMs + MAX_STALENESS_MS, {
      what: "the staleness limit to pass",
      timeoutMs: 30_000,
    });
    // Envoy answers for a node that does not: the check timed out.
    for (const asker of askers) await asker.until("503", pausedMs);
    const resumedMs = performance.now();
    pod.authz.resume();
    for (const asker of askers) await asker.until(REVOKED, resumedMs);
    await deployment.stopPollers();

    for (const asker of askers) {
      const after = asker.seen.filter(({ atMs }) => atMs > resumedMs).map(({ what }) => what);
      expect([...new Set(after)].filter((what) => ![STALE, REVOKED, "503"].includes(what))).toEqual(
        [],
      );
      expect(asker.kinds(acknowledgedMs + MAX_STALENESS_MS)).not.toContain("200");
    }
    const again = { token: deployment.token({ ...person, session: "not-revoked" }) };
    await untilAnswered(pod, "/things", again, "200");
  }
});
