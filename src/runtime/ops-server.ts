/** The pages for probes, Prometheus and operators. Never on the request path. */
import type { ListenAddress } from "./listen-address.js";
import { describeReadiness, isReady, type Components } from "./health.js";
import {
  listenForSingleRequests,
  text,
  type Page,
  type SingleRequestServer,
} from "./single-request-server.js";

export interface OpsPages {
  readonly components: () => Components;
  /** Prometheus text and its content type. */
  readonly metrics: () => Promise<{ readonly contentType: string; readonly text: string }>;
  /** Anything that JSON can hold. */
  readonly statusz: () => unknown;
}

export type OpsServer = SingleRequestServer;

/** At about a millisecond per page, pages take at most a hundredth of the time. */
const PAGE_MAX_AGE_MS = 100;

/** Rejects with Node's error if the address cannot be had. */
export function listenForOps(address: ListenAddress, pages: OpsPages): Promise<OpsServer> {
  const made: Readonly<Record<string, () => Promise<Page>>> = {
    "/livez": () => Promise.resolve(text(200, "alive\n")),
    "/readyz": sharedForAMoment(() => {
      const components = pages.components();
      return json(isReady(components) ? 200 : 503, describeReadiness(components));
    }),
    "/metrics": sharedForAMoment(async () => {
      const { contentType, text: body } = await pages.metrics();
      return { status: 200, contentType, body: Buffer.from(body) };
    }),
    "/statusz": sharedForAMoment(() => json(200, pages.statusz())),
  };
  return listenForSingleRequests(address, async (method, target) => {
    if (method !== "GET" && method !== "HEAD") return text(405, "only GET\n");
    const [path = ""] = target.split("?", 1);
    const make = Object.hasOwn(made, path) ? made[path] : undefined;
    return make?.() ?? text(404, `there are only ${Object.keys(made).join(", ")}\n`);
  });
}

/** Made once for concurrent requests, and cached for a moment. A failure is not cached. */
function sharedForAMoment(make: () => Page | Promise<Page>): () => Promise<Page> {
  let page: Promise<Page> | undefined;
  return () => {
    if (page !== undefined) return page;
    const forget = (): void => void (page = undefined);
    page = Promise.resolve().then(make);
    page.then(() => setTimeout(forget, PAGE_MAX_AGE_MS).unref(), forget);
    return page;
  };
}

function json(status: number, value: unknown): Page {
  const body = `${JSON.stringify(value, null, 2)}\n`;
  return { status, contentType: "application/json", body: Buffer.from(body) };
}
