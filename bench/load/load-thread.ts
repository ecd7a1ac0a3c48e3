/** The load generator's thread: requests through Envoy, and what must become of them. */
import { workerData } from "node:worker_threads";

import { faultOfAnswer } from "./expected-answer.js";
import { HttpSender } from "./http-sender.js";
import { CONNECTIONS_MAX } from "./load-limits.js";
import { loadOrderSchema, loadSetUpSchema } from "./load-messages.js";
import { serveOrders } from "./load-orders.js";

/** Any path without a route of its own in envoy.yaml: a token is required there. */
const PATH = "/reports/42";

const sender = new HttpSender(CONNECTIONS_MAX);
const { tokens } = loadSetUpSchema.parse(workerData);

function tokenOf(index: number) {
  const chosen = tokens[index % tokens.length];
  if (chosen === undefined) throw new Error("there are no tokens");
  return chosen;
}

serveOrders(
  (message) => loadOrderSchema.parse(message),
  ({ port, identified }) => ({
    send: (index) => sender.send({ port, path: PATH, token: tokenOf(index).token }),
    faultOf: (answer, index) =>
      faultOfAnswer(answer, identified ? tokenOf(index).owner : undefined),
  }),
);
