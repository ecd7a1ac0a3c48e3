/** `sekisho nodes`: which node has applied how much of the log. */
import type { Command } from "commander";
import type { z } from "zod";
import { readOperatorPath, type OperatorPath, type ServiceAddress } from "./operator-config.js";
import { redisConnections } from "../revocation-log/connection-redis.js";
import type { RedisSettings } from "../runtime/config/redis-settings.js";
import { RedisNodeRows } from "../revocation-log/node-rows-redis.js";
import { nodeAnswer, nodesAnswerSchema } from "../revocation-log/api-answers.js";
import { REVOCATION_KINDS } from "../revocation-log/entry.js";
import { LOG_FORMATS } from "../revocation-log/packed-entry.js";
import { reportLog, reportNodes } from "../revocation-log/nodes-report.js";
import { LOG_KEYS } from "../revocation-log/partition.js";
import { RevocationLogError } from "../revocation-log/revocation-log.js";
import type { CommandContext } from "./command-context.js";
import { EXIT, type ExitCode } from "../runtime/exit-codes.js";
import { askService } from "./sessions-request.js";

export function addNodesCommand(program: Command, context: CommandContext): void {
  program
    .command("nodes")
    .description("list the nodes and what each has applied")
    .option("--json", "answer in JSON")
    .option("--break-glass", "read directly from Redis, past the session service")
    .action(async ({ json, breakGlass }: { json?: true; breakGlass?: true }) => {
      const path = readOperatorPath(context.env, breakGlass === true);
      context.end(report(await readNodes(path), json === true));
    });
}

type Answer = z.infer<typeof nodesAnswerSchema>;
type Found = Answer | { readonly problem: string };

/** Never rejects; bounded in time. */
export function readNodes(path: OperatorPath, timeoutMs?: number): Promise<Found> {
  return path.kind === "service"
    ? readFromService(path.service, timeoutMs)
    : readFromRedis(path.redis.redis);
}

function report(found: Found, json: boolean): ExitCode {
  if ("problem" in found) {
    process.stderr.write(`sekisho nodes: ${found.problem}\n`);
    return EXIT.failed;
  }
  process.stdout.write(json ? `${JSON.stringify(found, null, 2)}\n` : table(found));
  return EXIT.done;
}

async function readFromService(service: ServiceAddress, timeoutMs?: number): Promise<Found> {
  const request = { method: "GET", path: "/v1/admin/nodes" } as const;
  const answer = await askService(service, request, timeoutMs);
  if (!answer.ok) return { problem: answer.message };
  const parsed = nodesAnswerSchema.safeParse(answer.body);
  if (parsed.success) return parsed.data;
  return { problem: "the session service's answer is not understood: is it another version?" };
}

async function readFromRedis(redis: RedisSettings): Promise<Found> {
  const reader = new RedisNodeRows(redisConnections(redis), LOG_KEYS);
  try {
    const found = await reader.nodeRows();
    const { meta } = found;
    if (typeof meta === "string") {
      const advice = meta === "missing" ? ": run `sekisho log init`" : "";
      const state = meta === "restoring" ? "being restored" : meta;
      return { problem: `the revocation log is ${state}${advice}` };
    }
    const { generation, seq, authority, keptMsAgo, retiredMsAgo } = reportLog(meta, found.serverMs);
    const nodes = reportNodes(found, meta).map(nodeAnswer);
    const log = {
      generation,
      seq,
      authority,
      ...(keptMsAgo === undefined ? {} : { kept_ms_ago: keptMsAgo }),
      ...(retiredMsAgo === undefined ? {} : { retired_ms_ago: retiredMsAgo }),
    };
    return { log, nodes };
  } catch (error) {
    if (!(error instanceof RevocationLogError)) throw error;
    return { problem: error.message };
  } finally {
    reader.close();
  }
}

/** A log whose stamp is older has no running session service; nodes use the same limit. */
const UNKEPT_MS = 5000;

/** About the log, and about nodes that are not in it. */
function remarks({ log, nodes, former_nodes: former = [] }: Answer): readonly string[] {
  const { recorded_generation: recorded, kept_ms_ago: keptMsAgo } = log;
  const lines: string[] = [];
  if (log.retired_ms_ago !== undefined) {
    lines.push(`the log was retired ${log.retired_ms_ago} ms ago: no node follows it`);
  } else if (log.authority === "database") {
    const old = (keptMsAgo ?? Infinity) > UNKEPT_MS;
    const kept = keptMsAgo === undefined ? "never kept" : `last kept ${keptMsAgo} ms ago`;
    lines.push(`the log was ${kept}${old ? ": no session service keeps it now" : ""}`);
  }
  if (recorded !== undefined && recorded !== log.generation) {
    lines.push("the database names another log: this one is abandoned");
  }
  lines.push(...unreadByNodes(nodes));
  for (const { node, retired } of former) {
    const then = retired ? "which is retired: stale if alive" : "and may still follow it";
    lines.push(`${node} was last seen in a former log, ${then}`);
  }
  return lines;
}

/** A line for the nodes of each version that cannot read all that this one writes. */
function unreadByNodes(nodes: Answer["nodes"]): readonly string[] {
  const byUnread = new Map<string, Answer["nodes"]>();
  for (const one of nodes) {
    const { kinds, formats } = one;
    const unread = [
      ...REVOCATION_KINDS.filter((kind) => kinds?.includes(kind) === false),
      ...LOG_FORMATS.filter((one) => formats?.includes(one) === false).map(
        (one) => `format ${one}`,
      ),
    ].join(", ");
    if (unread !== "") byUnread.set(unread, [...(byUnread.get(unread) ?? []), one]);
  }
  return [...byUnread].map(([unread, unable]) => `${namesOfNodes(unable)} cannot read ${unread}`);
}

const NAMED_MAX = 8;

/** The first of them by name, and how many there are besides. */
export function namesOfNodes(nodes: readonly { readonly node: string }[]): string {
  const names = [...new Set(nodes.map(({ node }) => node))];
  const [named, more] = [names.slice(0, NAMED_MAX).join(", "), names.length - NAMED_MAX];
  return more > 0 ? `${named} and ${more} more` : named;
}

function table(answer: Answer): string {
  const { log, nodes } = answer;
  const head = ["NODE", "STATE", "APPLIED", "SEEN", "STALE AFTER", "THEN", "VERSION"];
  const cells = nodes.map((one) => [
    one.node,
    one.state.replace("_", " "),
    `${one.seq}/${log.seq}`,
    `${one.seen_ms_ago} ms ago`,
    `${one.max_staleness_ms} ms`,
    one.on_stale,
    one.version ?? "-",
  ]);
  const widths = head.map((title, column) =>
    Math.max(title.length, ...cells.map((row) => row[column]?.length ?? 0)),
  );
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd();
  const lines = nodes.length === 0 ? ["no node follows this log"] : [head, ...cells].map(line);
  return `${[...lines, ...remarks(answer)].join("\n")}\n`;
}
