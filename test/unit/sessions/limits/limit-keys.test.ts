import { describe, expect, it } from "@jest/globals";
import {
  accountKey,
  actorKey,
  addressKey,
  countedNetwork,
} from "../../../../src/sessions/limits/limit-keys.js";

describe("the network that an address is counted with", () => {
  it.each([
    ["192.0.2.7", "192.0.2.7"],
    ["::ffff:192.0.2.7", "192.0.2.7"],
    ["::FFFF:c000:0207", "192.0.2.7"],
    ["0:0:0:0:0:ffff:192.0.2.7", "192.0.2.7"],
    ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
    ["2001:0DB8:0001:0002::", "2001:db8:1:2::/64"],
    ["2001:db8::1", "2001:db8:0:0::/64"],
    ["::1", "0:0:0:0::/64"],
    ["::", "0:0:0:0::/64"],
    ["fe80::1%eth0", "fe80:0:0:0::/64"],
    ["64:ff9b::192.0.2.7", "64:ff9b:0:0::/64"],
  ])("of %s is %s", (address, network) => {
    expect(countedNetwork(address)).toBe(network);
  });

  it("ends after the 64th bit", () => {
    expect(countedNetwork("2001:db8:1:2::")).toBe(
      countedNetwork("2001:db8:1:2:ffff:ffff:ffff:ffff"),
    );
    expect(countedNetwork("2001:db8:1:2::")).not.toBe(countedNetwork("2001:db8:1:3::"));
  });

  it("is another one for the neighbouring IPv4 address", () => {
    expect(countedNetwork("192.0.2.7")).not.toBe(countedNetwork("192.0.2.8"));
    expect(countedNetwork("::ffff:192.0.2.7")).not.toBe(countedNetwork("::ffff:192.0.2.8"));
  });

  it("is not mistaken for IPv4 where only some words are those of a mapped address", () => {
    expect(countedNetwork("1::ffff:192.0.2.7")).toBe("1:0:0:0::/64");
    expect(countedNetwork("::fffe:192.0.2.7")).toBe("0:0:0:0::/64");
  });

  it.each(["", "unknown", "192.0.2", "1:2", "%"])("of %p, no address, is the text", (text) => {
    expect(countedNetwork(text)).toBe(text);
  });
});

describe("a key", () => {
  it("holds at least 128 bits and nothing of what it was made of", () => {
    for (const key of [
      accountKey("acme", "ana"),
      actorKey("acme", "ana"),
      addressKey("192.0.2.7"),
    ]) {
      expect(key).toMatch(/^[A-Za-z0-9_-]{22}$/);
    }
  });

  it("is the same for the same account, and another one for any other", () => {
    const pairs = [
      ["acme", "ana"],
      ["acmea", "na"],
      ["ana", "acme"],
      ["acme", "Ana"],
      ["", "acmeana"],
      ['acme","ana', ""],
      ["acme", "e\u0301"],
      ["acme", "\u00e9"],
      ["acme", "\ud800"],
      ["acme", "\udfff"],
    ] as const;
    const keys = pairs.map(([tenant, login]) => accountKey(tenant, login));
    expect(new Set(keys).size).toBe(pairs.length);
    expect(keys).toEqual(pairs.map(([tenant, login]) => accountKey(tenant, login)));
  });

  it("of an actor is the same for the same account, and no login's", () => {
    const key = actorKey("acme", "ana");
    expect(key).toBe(actorKey("acme", "ana"));
    const others = [
      actorKey("acmea", "na"),
      actorKey("acme", "Ana"),
      actorKey("other", "ana"),
      accountKey("acme", "ana"),
    ];
    expect(others).not.toContain(key);
  });

  it("is shared by the addresses of one network, and by no account", () => {
    expect(addressKey("2001:db8::1")).toBe(addressKey("2001:db8::2"));
    expect(addressKey("2001:db8::1")).not.toBe(addressKey("2001:db8:0:1::1"));
    expect(addressKey("192.0.2.7")).toBe(addressKey("::ffff:192.0.2.7"));
    expect(addressKey("address")).not.toBe(accountKey("address", ""));
  });
});
