/** `sekisho nodes`: which node has applied how much of the log. */
import type { Command } from "commander";
import { readOperatorConfig } from "../config/operator-config.js";
import { redisConnections } from "../revocation/connection-redis.js";
import { RedisNodeRows, type NodesAndLog } from "../revocation/node-rows-redis.js";
import { partitionKeys } from "../revocation/partition.js";
import { hasApplied, isSilent } from "../revocation/receipt.js";
import { RevocationLogError } from "../revocation/revocation-log.js";
import type { CommandContext } from "./command-line.js";
import { EXIT, type ExitCode } from "./exit-codes.js";

export function addNodesCommand(program: Command, context: CommandContext): void {
  program
    .command("nodes")
    .description("list the nodes and what each has applied")
    .option("--json", "answer in JSON")
    .action(async ({ json }: { json?: true }) => {
      context.end(await listNodes(context.env, json === true));
    });
}

interface NodeLine {
  readonly node: string;
  readonly state: "in_step" | "behind" | "silent";
  readonly seq: number;
  readonly seen_ms_ago: number;
  readonly max_staleness_ms: number;
  readonly on_stale: string;
  readonly group: string;
}

async function listNodes(env: NodeJS.ProcessEnv, json: boolean): Promise<ExitCode> {
  const config = readOperatorConfig(env);
  const reader = new RedisNodeRows(redisConnections(config.redisUrl), partitionKeys(0));
  let found: NodesAndLog;
  try {
    found = await reader.nodeRows();
  } catch (error) {
    if (!(error instanceof RevocationLogError)) throw error;
    process.stderr.write(`sekisho nodes: ${error.message}\n`);
    return EXIT.failed;
  } finally {
    reader.close();
  }
  const { meta } = found;
  if (typeof meta === "string") {
    const advice = meta === "missing" ? ": run `sekisho log init`" : "";
    const state = meta === "restoring" ? "being restored" : meta;
    process.stderr.write(`sekisho nodes: the revocation log is ${state}${advice}\n`);
    return EXIT.failed;
  }
  const nodes = nodeLines(found, meta);
  const log = { generation: meta.generation, seq: meta.seq, authority: meta.authority };
  process.stdout.write(json ? `${JSON.stringify({ log, nodes }, null, 2)}\n` : table(log, nodes));
  return EXIT.done;
}

function nodeLines(
  { rows, serverMs }: NodesAndLog,
  log: { readonly generation: string; readonly seq: number },
): readonly NodeLine[] {
  return rows
    .map(({ node, group, row }): NodeLine => {
      const behind = hasApplied(row, log) ? "in_step" : "behind";
      return {
        node,
        state: isSilent(row, serverMs) ? "silent" : behind,
        seq: row.seq,
        seen_ms_ago: Math.max(0, serverMs - row.seenMs),
        max_staleness_ms: row.maxStalenessMs,
        on_stale: row.onStale,
        group,
      };
    })
    .sort((a, b) => (a.group < b.group ? -1 : 1));
}

function table(log: { seq: number; authority: string }, nodes: readonly NodeLine[]): string {
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
  return `${lines.join("\n")}\n`;
}
