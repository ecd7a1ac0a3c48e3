import { describe, expect, test } from "@jest/globals";

import { withSecondListener } from "../../../bench/load/two-sided-envoy.js";
import { readEnvoyConfig } from "../../../dev/envoy-config.js";

const FILTER = "envoy.filters.http.ext_authz";

describe("the second listener", () => {
  test("is the first one without the filter, under another name", async () => {
    const config = await readEnvoyConfig();
    const [first, second] = withSecondListener(config).static_resources.listeners;
    expect(first).toEqual(config.static_resources.listeners[0]);
    expect(second.name).not.toBe(first.name);

    const firstManager = first.filter_chains[0].filters[0].typed_config;
    const secondManager = second.filter_chains[0].filters[0].typed_config;
    expect(secondManager.stat_prefix).not.toBe(firstManager.stat_prefix);
    const names = firstManager.http_filters.map(({ name }) => name);
    expect(names).toContain(FILTER);
    expect(secondManager.http_filters.map(({ name }) => name)).toEqual(
      names.filter((name) => name !== FILTER),
    );

    second.name = first.name;
    secondManager.stat_prefix = firstManager.stat_prefix;
    secondManager.http_filters = firstManager.http_filters;
    expect(second).toEqual(first);
  });

  test("leaves the rest of the configuration and its source as they are", async () => {
    const config = await readEnvoyConfig();
    const { static_resources: resources, ...rest } = withSecondListener(config);
    const { static_resources: source, ...sourceRest } = config;
    expect(rest).toEqual(sourceRest);
    expect(resources).toEqual({ ...source, listeners: expect.anything() });
    expect(config).toEqual(await readEnvoyConfig());
  });

  test("is refused where there is no filter to leave out", async () => {
    const config = await readEnvoyConfig();
    const [first] = withSecondListener(config).static_resources.listeners;
    const manager = first.filter_chains[0].filters[0].typed_config;
    manager.http_filters = manager.http_filters.filter(({ name }) => name !== FILTER);
    config.static_resources.listeners[0] = { ...first, address: {} };
    expect(() => withSecondListener(config)).toThrow("exactly one filter");
  });
});
