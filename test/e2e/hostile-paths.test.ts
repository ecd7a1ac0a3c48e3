/**
 * Paths that one reader takes for a public page and another one for a guarded one. Whatever reaches
 * the API must be, as the API may read it, a path whose policy was the one that was checked.
 */
import { posix } from "node:path";
import { afterAll, beforeAll, expect, it } from "@jest/globals";
import { sendBytes } from "../support/e2e-http.js";
import { E2eDeployment, type Pod } from "../support/e2e-deployment.js";
import { echoSchema } from "../../dev/echo-api.js";

/** Routes that need no token. */
const OPEN = ["/public", "/catalogue"];
/** Routes that need more than any token of one tenant. */
const STRICTER = ["/orders", "/tenants/acme"];

let deployment: E2eDeployment;
let pod: Pod;

beforeAll(async () => {
  deployment = await E2eDeployment.open();
  pod = await deployment.addPod("node-1");
});
afterAll(() => deployment.close());

/** Sends the path byte for byte; what arrived at the API, or undefined where nothing did. */
async function arrivedAt(path: string, token?: string): Promise<string | undefined> {
  const authorization = token === undefined ? "" : `authorization: Bearer ${token}\r\n`;
  const head = `GET ${path} HTTP/1.1\r\nhost: api\r\n${authorization}connection: close\r\n\r\n`;
  const before = pod.api.requests;
  const answer = await sendBytes(pod.envoy.url, head);
  const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(answer)?.[1]);
  expect([200, 400, 401, 403]).toContain(status);
  expect(pod.api.requests - before).toBe(status === 200 ? 1 : 0);
  if (status !== 200) return undefined;
  const json = answer.slice(answer.indexOf("{"), answer.lastIndexOf("}") + 1);
  return echoSchema.parse(JSON.parse(json)).path;
}

/**
 * Every way in which an API may understand a path: as it stands (RFC 3986, section 6.2.2.3), or
 * decoded once or twice before dots and slashes are resolved, with parameters of segments or not.
 */
function readingsOf(path: string): string[] {
  const [bare = ""] = path.split(/[?#]/, 1);
  const once = decoded(bare);
  const twice = decoded(once);
  // Servlet containers take what follows a semicolon for a parameter of the segment.
  const texts = [bare, once, twice].flatMap((text) => [text, text.replace(/;[^/]*/g, "")]);
  return [
    new URL(`http://api${bare}`).pathname,
    ...texts
      .flatMap((text) => [text, text.replaceAll("\\", "/")])
      .map((text) => posix.normalize(text)),
  ];
}

function decoded(text: string): string {
  return decodeURIComponent(text.replace(/%(?![0-9A-Fa-f]{2})/g, "%25"));
}

const isBelow = (path: string, prefix: string): boolean =>
  path === prefix || path.startsWith(`${prefix}/`);

const target = ["things", "orders", "tenants/acme/things"];
const tricks = target.flatMap((guarded) => [
  `/${guarded}`,
  `//${guarded}`,
  `///${guarded}`,
  `/./${guarded}`,
  `/%2e/${guarded}`,
  `/public/../${guarded}`,
  `/public/./../${guarded}`,
  `/public//../${guarded}`,
  `/public/..//${guarded}`,
  `/public/x/../../${guarded}`,
  `/public/%2e%2e/${guarded}`,
  `/public/%2E%2E/${guarded}`,
  `/public/.%2e/${guarded}`,
  `/public/%2e./${guarded}`,
  `/public/..%2f${guarded}`,
  `/public%2f..%2f${guarded}`,
  `/public%2F..%2F${guarded}`,
  `/public/%2e%2e%2f${guarded}`,
  `/public/..%5c${guarded}`,
  `/public\\..\\${guarded}`,
  `/public/..\\${guarded}`,
  `/public/%252e%252e/${guarded}`,
  `/public/%252E%252E%252F${guarded}`,
  `/${guarded};v=1`,
  `/${guarded};`,
  `/${guarded};x=1/y`,
  `/${guarded}%3bx`,
  `/${guarded}%3Bx`,
  `/${guarded}%253bx`,
  `/;x/${guarded}`,
  `/catalogue/../${guarded}`,
  `/timetable/../${guarded}`,
  `/public;x/../${guarded}`,
  `/public/;x/../${guarded}`,
  `/public/..;/${guarded}`,
  `/public/..;x/${guarded}`,
  `/public/.;/..;/${guarded}`,
  `/public/../${guarded}?page=/public`,
  `/${guarded}?/../public`,
  `/${guarded}#/../public`,
  `/public#/../${guarded}`,
  `/public/%00/../${guarded}`,
  `/%70ublic/../${guarded}`,
  `http://api/public/../${guarded}`,
  `http://api/public/%2e%2e/${guarded}`,
]);

it.each(tricks)("lets nobody without a token past the open routes: %s", async (path) => {
  const arrived = await arrivedAt(path);
  if (arrived === undefined) return;
  for (const reading of readingsOf(arrived)) {
    expect(OPEN.filter((prefix) => isBelow(reading, prefix))).not.toEqual([]);
  }
});

it.each(tricks)("lets no plain token past the stricter routes: %s", async (path) => {
  // Of another tenant and without scopes: good for /things and nothing more.
  const token = deployment.token({ tenant: "globex", user: "ann", session: "desk" });
  const arrived = await arrivedAt(path, token);
  if (arrived === undefined) return;
  for (const reading of readingsOf(arrived)) {
    expect(STRICTER.filter((prefix) => isBelow(reading, prefix))).toEqual([]);
  }
});

it.each([
  "/publications",
  "/public.html",
  "/publi%63ations",
  "/PUBLIC",
  "/Public/news",
  "/catalogues",
  "/",
  "//",
  "/.",
  "/..",
])("opens nothing that only looks like an open route: %s", async (path) => {
  expect(await arrivedAt(path)).toBeUndefined();
});

it.each([
  ["/public", "/public"],
  ["/public/", "/public/"],
  ["/public/news?page=2", "/public/news?page=2"],
  ["//public//news", "/public/news"],
  ["/public/./news", "/public/news"],
  ["/orders/../public/news", "/public/news"],
  ["/catalogue/a%20b", "/catalogue/a%20b"],
])("lets what is open be read by everyone: %s as %s", async (path, arrived) => {
  expect(await arrivedAt(path)).toBe(arrived);
});

/** An open route, one of one tenant, one with scopes, and the last one. */
const everywhere = ["/public", "/catalogue", "/tenants/acme", "/orders", "/timetable", "/things"];

it.each(
  everywhere.flatMap((path) => [
    ...[`${path};v=1`, `${path};x/news`, `${path}/a;`, `${path}%3bx`, `${path}%3Bx?a=1`],
    ...[`${path}/%252e%252e/orders`, `${path}/100%25`],
    // Dots and slashes in overlong UTF-8 of two to five bytes, and as some escape UTF-16.
    ...[`${path}/%c0%ae%c0%ae/orders`, `${path}/..%C0%AForders`, `${path}/%c1%81`],
    ...[`${path}/%e0%80%ae%E0%80%AE/orders`, `${path}/..%e0%80%aforders`, `${path}/%E0%9F%BF`],
    ...[`${path}/..%f0%80%80%aforders`, `${path}/..%f8%80%80%80%aforders`, `${path}/%FF`],
    ...[`${path}/%u002e%u002e/orders`, `${path}/..%U002Forders`, `${path}/..%uff0forders`],
    // The same unescaped.
    ...[`${path}/\xc0\xae\xc0\xae/orders`, `${path}/..\xc0\xaforders`, `${path}/..\xe0\x80\xaf`],
  ]),
)("refuses with 400 what an API could read as another path, whoever asks: %s", async (path) => {
  const token = deployment.token({ tenant: "acme", user: "ann", session: "desk" });
  for (const authorization of ["", `authorization: Bearer ${token}\r\n`, "authorization: x\r\n"]) {
    const head = `GET ${path} HTTP/1.1\r\nhost: api\r\n${authorization}connection: close\r\n\r\n`;
    const before = pod.api.requests;
    expect(await sendBytes(pod.envoy.url, head)).toMatch(/^HTTP\/1\.1 400 /);
    expect(pod.api.requests).toBe(before);
  }
});

it.each([
  ...["/public?a;b", "/public/?page=%25&q=%3b", "/public?q=%c0%ae%u002e", "/public/%20%2b"],
  // Well-formed UTF-8 of two to four bytes, the lowest ones among them.
  ...["/public/%C3%A9", "/public/%C2%80", "/public/%E0%A0%80", "/public/%E2%82%AC"],
  ...["/public/%F0%90%80%80", "/public/%f0%9f%98%80"],
])("looks for these characters in the path alone: %s", async (path) => {
  expect(await arrivedAt(path)).toBe(path);
});
