/** The load generator's thread for the session service: keeps the sessions that it refreshes. */
import { workerData } from "node:worker_threads";

import { HttpSender } from "./http-sender.js";
import { CONNECTIONS_MAX } from "./load-limits.js";
import { serveOrders } from "./load-orders.js";
import type { StretchDependencies } from "./load-orders.js";
import { faultOfRead, faultOfReceipt, refreshed } from "./session-answers.js";
import { sessionOrderSchema, sessionSetUpSchema } from "./session-messages.js";
import type { OpenedSession, Read } from "./session-messages.js";

const { port, sessions, operatorToken, nodes } = sessionSetUpSchema.parse(workerData);
const sender = new HttpSender(CONNECTIONS_MAX);

/** Those of which no refresh is under way; a session whose refresh failed does not come back. */
const free: OpenedSession[] = [...sessions];

function refreshing(): StretchDependencies {
  const taken = new Map<number, OpenedSession>();
  return {
    send: (index) => {
      const session = free.shift();
      if (session === undefined) {
        const answered = Promise.reject(new Error("the refreshes of all sessions are under way"));
        return { answered, abandon: () => undefined };
      }
      taken.set(index, session);
      const body = { refresh_token: session.refreshToken };
      return sender.send({ port, path: "/v1/refresh", method: "POST", body });
    },
    faultOf: (answer, index) => {
      const session = taken.get(index);
      if (session === undefined) return "an answer to no request";
      taken.delete(index);
      const after = refreshed(answer, session);
      if (typeof after === "string") return after;
      free.push(after);
      return undefined;
    },
  };
}

function reading(read: Read): StretchDependencies {
  const asking = (index: number): OpenedSession | undefined =>
    read.by === "sessions" ? free[index % free.length] : undefined;
  const tokenOf = (index: number): string | undefined =>
    read.by === "operator" ? operatorToken : asking(index)?.accessToken;
  return {
    send: (index) => {
      const token = tokenOf(index);
      return sender.send({ port, path: read.path, ...(token === undefined ? {} : { token }) });
    },
    faultOf: (answer, index) => faultOfRead(answer, read, asking(index)?.session),
  };
}

function revoking(paths: readonly string[]): StretchDependencies {
  return {
    send: (index) => {
      const path = paths[index % paths.length] ?? "";
      return sender.send({ port, path, method: "POST", token: operatorToken, body: {} });
    },
    faultOf: (answer) => faultOfReceipt(answer, nodes),
  };
}

serveOrders(
  (message) => sessionOrderSchema.parse(message),
  ({ act }) => {
    switch (act.kind) {
      case "refresh":
        return refreshing();
      case "read":
        return reading(act.read);
      case "revoke":
        return revoking(act.paths);
    }
  },
);
