import { describe, expect, test } from "@jest/globals";

import { clientAddress, trustedProxies } from "../../../../src/sessions/http/client-address.js";

describe("the address that a request comes from", () => {
  const trusted = trustedProxies(["10.0.0.0/8", "192.0.2.1", "2001:db8::/32", "unix"]);
  const from = (address: string | undefined, forwardedFor?: string): string =>
    clientAddress({ address, forwardedFor }, trusted);

  test.each([
    ["is the peer's", "198.51.100.1", undefined, "198.51.100.1"],
    [
      "is the peer's, whatever a peer that is not trusted says",
      "198.51.100.1",
      "203.0.113.9",
      "198.51.100.1",
    ],
    ["is what a trusted proxy says", "10.1.2.3", "203.0.113.9", "203.0.113.9"],
    ["is a trusted proxy's own where it says nothing", "10.1.2.3", undefined, "10.1.2.3"],
    ["is a trusted proxy's own where it says nothing but commas", "10.1.2.3", " , ", "10.1.2.3"],
    [
      "goes back through several trusted proxies",
      "10.1.2.3",
      "203.0.113.9, 192.0.2.1, 10.9.9.9",
      "203.0.113.9",
    ],
    [
      "is the first from the right that is not trusted",
      "10.1.2.3",
      "10.6.6.6, 1.1.1.1, 203.0.113.9, 10.9.9.9",
      "203.0.113.9",
    ],
    ["is the leftmost where all are trusted", "10.1.2.3", "10.4.4.4, 10.5.5.5", "10.4.4.4"],
    ["stops at what is no address", "10.1.2.3", "203.0.113.9, unknown, 10.9.9.9", "10.9.9.9"],
    ["has no port", "10.1.2.3", "203.0.113.5:54321", "203.0.113.5"],
    ["has neither brackets nor port", "10.1.2.3", "[2001:DB9::1]:443", "2001:db9::1"],
    ["has no brackets", "10.1.2.3", "[2001:db9::1]", "2001:db9::1"],
    ["has no zone, in brackets", "10.1.2.3", "[fe80::1%eth0]:443", "fe80::1"],
    ["is the IPv4 address in an IPv6 one", "10.1.2.3", "::ffff:203.0.113.5", "203.0.113.5"],
    ["is that in brackets too", "10.1.2.3", "[::FFFF:cb00:7105]:443", "203.0.113.5"],
    ["is an IPv6 address that ends as with a port", "10.1.2.3", "2001:db9::443", "2001:db9::443"],
    [
      "goes back through trusted proxies with ports",
      "10.1.2.3",
      "203.0.113.9:1, [2001:db8::7]:2, 192.0.2.1:3, 10.9.9.9:65535",
      "203.0.113.9",
    ],
    [
      "is an IPv4 address however the socket writes it",
      "::ffff:198.51.100.1",
      undefined,
      "198.51.100.1",
    ],
    ["is trusted however the socket writes it", "::ffff:10.1.2.3", "203.0.113.9", "203.0.113.9"],
    ["is written in one way only", "2001:DB8:0:0::1", "2001:0DB9:0000::00Ab", "2001:db9::ab"],
    ["has no zone", "fe80::1%eth0", undefined, "fe80::1"],
    ["is `unix` over a Unix socket", undefined, undefined, "unix"],
    ["is what a trusted peer over a Unix socket says", undefined, "203.0.113.9", "203.0.113.9"],
    ["is never `unix` because somebody says so", "10.1.2.3", "unix", "10.1.2.3"],
  ])("%s", (_what, peer, forwardedFor, expected) => {
    expect(from(peer, forwardedFor)).toBe(expected);
  });

  test.each([
    ...["203.0.113.5:", "203.0.113.5:x", "203.0.113.5:123456", "203.0.113.5:1:2", "203.0.113.5 :1"],
    ...[":443", "[]:443", "[]", "[203.0.113.5]:443", "[2001:db9::1", "2001:db9::1]:443"],
    ...["[2001:db9::1]443", "[[2001:db9::1]]:443", "for=203.0.113.5", '"[2001:db9::1]:443"'],
    ...["203.0.113:80", "999.0.113.5:80", "host:80", "http://203.0.113.5:80", "unix:1"],
  ])("stops at %j, which is no address with or without a port", (told) => {
    expect(from("10.1.2.3", told)).toBe("10.1.2.3");
    expect(from("10.1.2.3", `203.0.113.9, ${told}, 10.9.9.9`)).toBe("10.9.9.9");
  });

  test("is the same whatever the source port", () => {
    const told = [undefined, 0, 1, 443, 54321, 65535].map((port) =>
      port === undefined ? "203.0.113.5" : `203.0.113.5:${port}`,
    );
    expect(new Set(told.map((one) => from("10.1.2.3", one)))).toEqual(new Set(["203.0.113.5"]));
  });

  test("is not a Unix peer's to choose unless it is trusted", () => {
    const peer = { address: undefined, forwardedFor: "203.0.113.9" };
    expect(clientAddress(peer, trustedProxies(["10.0.0.0/8"]))).toBe("unix");
  });

  test.each([
    ["10.0.0.0/8", "10.255.255.255", "11.0.0.0"],
    ["192.0.2.128/25", "192.0.2.128", "192.0.2.127"],
    ["2001:db8::/33", "2001:db8:7fff::1", "2001:db8:8000::"],
    ["0.0.0.0/0", "255.1.1.1", "2001:db8::1"],
  ])("trusts in %s what is within, as %s, and not %s", (range, within, outside) => {
    const proxies = trustedProxies([range]);
    expect([proxies.has(within), proxies.has(outside)]).toEqual([true, false]);
  });

  test.each([
    "",
    "localhost",
    "10.0.0.0/33",
    "10.0.0.0/",
    "10.0.0.0/08",
    "10.0.0.0/8/8",
    "2001:db8::/129",
    "1.2.3",
    "10.0.0.0/-1",
    "10.0.0.1:80",
    "[2001:db8::1]:443",
    "[2001:db8::1]",
  ])("cannot be told by a proxy named %j", (entry) => {
    expect(() => trustedProxies([entry])).toThrow(RangeError);
  });
});
