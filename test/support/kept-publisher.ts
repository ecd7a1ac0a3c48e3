/** Publishes into a log on one connection, for tests that publish much or at the right moment. */
import { randomUUID } from "node:crypto";

import { systemClock } from "../../src/runtime/clock.js";
import type { Revocation } from "../../src/revocation-log/entry.js";
import { RedisPublisher } from "../../src/revocation-log/publisher-redis.js";
import type { PublishOutcome } from "../../src/revocation-log/publisher.js";
import { endOf, KEYS } from "./following.js";
import { patientConnections } from "./patient-connections.js";

export interface KeptPublisher {
  readonly publish: (revocation: Revocation) => Promise<PublishOutcome>;
  readonly close: () => void;
}

/** The first revocation opens the connection; the caller closes it. */
export function publisherTo(url: string): KeptPublisher {
  const publisher = new RedisPublisher({
    open: patientConnections(url),
    keys: KEYS,
    clock: systemClock,
    authority: "redis",
    minReplicas: 0,
    clockSkewS: 5,
  });
  const rest = { reason: undefined, actor: undefined };
  return {
    publish: (revocation) =>
      publisher.publish({ revocation, eventId: randomUUID(), atMs: systemClock.wallMs(), ...rest }),
    close: () => publisher.close(),
  };
}

/** The ends of `count` sessions, `prefix0` and so on: in order, or `atOnce` without waiting. */
export async function publishMany(
  url: string,
  { count, prefix, atOnce = false }: { count: number; prefix: string; atOnce?: boolean },
): Promise<void> {
  const publisher = publisherTo(url);
  try {
    const published: Promise<PublishOutcome>[] = [];
    for (let number = 0; number < count; number += 1) {
      published.push(publisher.publish(endOf(`${prefix}${number}`)));
      if (!atOnce) await published.at(-1);
    }
    for (const outcome of await Promise.all(published)) {
      if (!outcome.published) throw new Error(`not published: ${outcome.message}`);
    }
  } finally {
    publisher.close();
  }
}
