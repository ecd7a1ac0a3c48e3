/** `sekisho nodes`: which node has applied how much of the log. */
import type { Command } from "commander";
import type { z } from "zod";
import { readOperatorPath, type ServiceAddress } from "./operator-config.js";
import { redisConnections } from "../revocation-log/connection-redis.js";
import { RedisNodeRows } from "../revocation-log/node-rows-redis.js";
import { nodesAnswerSchema } from "../revocation-log/api-answers.js";
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
      const found =
        path.kind === "service"
          ? await readFromService(path.service)
          : await readFromRedis(path.redis.redisUrl);
      context.end(report(found, json === true));
    });
}

type Found = z.infer<typeof nodesAnswerSchema> | { readonly problem: string };

function report(found: Found, json: boolean): ExitCode {
  if ("problem" in found) {
    process.stderr.write(`sekisho nodes: ${found.problem}\n`);
    return EXIT.failed;
  }
  process.stdout.write(json ? `${JSON.stringify(found, null, 2)}\n` : table(found));
  return EXIT.done;
}

async function readFromService(service: ServiceAddress): Promise<Found> {
  const answer = await askService(service, { method: "GET", path: "/v1/admin/nodes" });
  if (!answer.ok) return { problem: answer.message };
  const parsed = nodesAnswerSchema.safeParse(answer.body);
  if (parsed.success) return parsed.data;
  return { problem: "the session service's answer is not understood: is it another version?" };
}

async function readFromRedis(redisUrl: string): Promise<Found> {
  const reader = new RedisNodeRows(redisConnections(redisUrl), LOG_KEYS);
  try {
    const found = await reader.nodeRows();
    const { meta } = found;
    if (typeof meta === "string") {
      const advice = meta === "missing" ? ": run `sekisho log init`" : "";
      const state = meta === "restoring" ? "being restored" : meta;
      return { problem: `the revocation log is ${state}${advice}` };
    }
    const { generation, seq, authority, keptMsAgo, retiredMsAgo } = reportLog(meta, found.serverMs);
    const nodes = reportNodes(found, meta).map((one) => ({
      node: one.node,
      state: one.state,
      seq: one.seq,
      group: one.group,
      seen_ms_ago: one.seenMsAgo,
      max_staleness_ms: one.maxStalenessMs,
      on_stale: one.onStale,
    }));
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

type Answer = z.infer<typeof nodesAnswerSchema>;

/** A log whose stamp is older has no running session service; nodes use the same limit. */
const UNKEPT_MS = 5000;

/** About the log, and about nodes that are not in it. */
function remarks({ log, former_nodes: former = [] }: Answer): readonly string[] {
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
  for (const { node, retired } of former) {
    const then = retired ? "which is retired: stale if alive" : "and may still follow it";
    lines.push(`${node} was last seen in a former log, ${then}`);
  }
  return lines;
}

function table(answer: Answer): string {
  const { log, nodes } = answer;
  const head = ["NODE", "STATE", "APPLIED", "SEEN", "STALE AFTER", "THEN"];
  const cells = nodes.map((one) => [
    one.node,
    one.state.replace("_", " "),
    `${one.seq}/${log.seq}`,
    `${one.seen_ms_ago} ms ago`,
    `${one.max_staleness_ms} ms`,
    one.on_stale,
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
