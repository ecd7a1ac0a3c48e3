/** Health as named components. `degraded` is reported but fails no probe. */

export type ComponentStatus = "ok" | "degraded" | "failed";

export interface Component {
  readonly status: ComponentStatus;
  /** In one line: what is wrong and what to do; undefined: nothing. */
  readonly detail: string | undefined;
}

export type Components = Readonly<Record<string, Component>>;

export const HEALTHY: Component = { status: "ok", detail: undefined };

export function isReady(components: Components): boolean {
  return Object.values(components).every(({ status }) => status !== "failed");
}

/** The body of `/readyz`. */
export function describeReadiness(components: Components): {
  readonly status: "ready" | "not_ready";
  readonly components: Components;
} {
  return { status: isReady(components) ? "ready" : "not_ready", components };
}
