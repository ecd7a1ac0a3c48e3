/**
 * What leaves the process keeps its name: settings, options, routes, reasons, codes, labels, fields
 * of answers and log lines, metrics, Redis keys and exit codes. Users' configuration, dashboards and
 * nodes of another version depend on each of them.
 *
 * They are read from the code and compared with `outgoing-names.json`. A new name is added there by
 * hand. One that goes or changes is a break, and belongs in the upgrade notes.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "@jest/globals";
import ts from "typescript";
import { z } from "zod";
import { authzMetrics } from "../src/authz/authz-metrics.js";
import { sessionsMetrics } from "../src/sessions/sessions-metrics.js";
import { sessionsObservers } from "../src/sessions/sessions-observers.js";
import { META_FIELDS } from "../src/revocation-log/meta-redis.js";
import { systemClock } from "../src/runtime/clock.js";
import { EXIT } from "../src/runtime/exit-codes.js";
import { openLog } from "../src/runtime/log.js";
import { repositoryRoot } from "../dev/repository.js";
import { NO_ENTRIES } from "../src/authz/follow/local-state.js";

const root = repositoryRoot();
const LEVELS = new Set(["fatal", "error", "warn", "info", "debug"]);

const GROUPS = {
  settings: /^SEKISHO_[A-Z0-9_]+$/,
  options: /^(?:-\w, )?--[a-z-]+(?: <\w+>)?$/,
  routes: /^\/[a-z{][\w{}:./-]*$/,
  keys: /^(?:sekisho[:.-]|x-sekisho)[\w:{}.-]*$/,
  words: /^[a-z][a-z0-9]*(?:_[a-z0-9]+)+$/,
};

const namesSchema = z.record(z.string(), z.array(z.string()));
type Names = z.infer<typeof namesSchema>;

function sources(): readonly ts.SourceFile[] {
  return readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(".ts") && !path.startsWith("generated"))
    .map((path) => {
      const text = readFileSync(join(root, "src", path), "utf8");
      return ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true);
    });
}

function* nodesBelow(node: ts.Node): Generator<ts.Node> {
  yield node;
  for (const child of node.getChildren()) yield* nodesBelow(child);
}

/** A text, or a name that a text could stand for: of a member of an object or of a type. */
function wordOf(node: ts.Node): string | undefined {
  if (ts.isStringLiteralLike(node)) return node.text;
  if (ts.isTemplateHead(node)) return node.text;
  const isMember =
    ts.isPropertyAssignment(node) ||
    ts.isShorthandPropertyAssignment(node) ||
    ts.isPropertySignature(node);
  return isMember && ts.isIdentifier(node.name) ? node.name.text : undefined;
}

/** The fields of `log.warn({ … }, …)`, or of `log[…]({ … }, …)` where the level is computed. */
function logFieldsOf(node: ts.Node): readonly string[] {
  if (!ts.isCallExpression(node)) return [];
  const { expression } = node;
  const logs = ts.isPropertyAccessExpression(expression)
    ? LEVELS.has(expression.name.text)
    : ts.isElementAccessExpression(expression) && expression.expression.getText() === "log";
  if (!logs) return [];
  const [fields] = node.arguments;
  if (fields === undefined || !ts.isObjectLiteralExpression(fields)) return [];
  return fields.properties.flatMap(({ name }) =>
    name !== undefined && ts.isIdentifier(name) ? [name.text] : [],
  );
}

/** Each series that is there from the start, with its labels. */
async function seriesOf(metrics: { page(): Promise<{ readonly text: string }> }) {
  const { text } = await metrics.page();
  const series = text
    .split("\n")
    .filter((line) => line.startsWith("sekisho_"))
    .map((line) => line.slice(0, line.lastIndexOf(" ")));
  const types = text.split("\n").filter((line) => line.startsWith("# TYPE sekisho_"));
  return [...types, ...series];
}

async function presentNames(): Promise<Names> {
  const nodes = sources().flatMap((source) => [...nodesBelow(source)]);
  const words = nodes.flatMap((node) => wordOf(node) ?? []);
  const authz = authzMetrics({
    stalenessMs: () => 0,
    entries: () => NO_ENTRIES,
    saturated: () => false,
    seq: () => 0,
    keptAgeMs: () => 0,
    connections: () => 0,
    keyAgesMs: () => [{ issuer: "i", ageMs: 0 }],
  });
  const sessions = sessionsMetrics({
    pool: () => ({ inUse: 0, idle: 0, waiting: 0, max: 0 }),
    hashing: () => ({ pending: 0, queued: 0 }),
    outbox: () => ({ pending: 0, oldestAgeMs: 0 }),
    relaying: () => false,
    keys: () => ({ count: 0, signingAgeMs: 0 }),
    clockAheadMs: () => 0,
    limitsInProcess: () => false,
    search: () => ({ unsearchedMs: 0, gated: false }),
  });
  sessionsObservers(openLog("silent", {}).log, sessions.registry, systemClock);
  const groups = Object.entries(GROUPS).map(([group, form]) => [
    group,
    words.filter((word) => form.test(word)),
  ]);
  const names: Names = namesSchema.parse({
    ...Object.fromEntries(groups),
    logFields: nodes.flatMap(logFieldsOf),
    metrics: [...(await seriesOf(authz)), ...(await seriesOf(sessions))],
    metaFields: [...META_FIELDS],
    exitCodes: Object.values(EXIT).map(String),
  });
  return Object.fromEntries(
    Object.entries(names).map(([group, found]) => [group, [...new Set(found)].sort()]),
  );
}

test("every name that leaves the process is on the list, and none is missing", async () => {
  const listed = namesSchema.parse(
    JSON.parse(readFileSync(join(root, "test", "outgoing-names.json"), "utf8")),
  );
  expect(await presentNames()).toEqual(listed);
});
