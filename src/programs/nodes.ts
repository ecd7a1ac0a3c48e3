/** `sekisho nodes`: which node has applied how much of the log. */
import type { Command } from "commander";
import { z } from "zod";
import { readOperatorPath, type ServiceAddress } from "../config/operator-config.js";
import { redisConnections } from "../revocation/connection-redis.js";
import { RedisNodeRows } from "../revocation/node-rows-redis.js";
import { reportNodes } from "../revocation/nodes-report.js";
import { ON_STALE } from "../revocation/on-stale.js";
import { partitionKeys } from "../revocation/partition.js";
import { RevocationLogError } from "../revocation/revocation-log.js";
import type { CommandContext } from "./command-line.js";
import { EXIT, type ExitCode } from "./exit-codes.js";
import { askService } from "./sessions-request.js";

export function addNodesCommand(program: Command, context: CommandContext): void {
  program
    .command("nodes")
    .description("list the nodes and what each has applied")
    .option("--json", "answer in JSON")
    .option("--break-glass", "straight from Redis, past the session service")
    .action(async ({ json, breakGlass }: { json?: true; breakGlass?: true }) => {
      const path = readOperatorPath(context.env, breakGlass === true);
      const found =
        path.kind === "service"
          ? await readFromService(path.service)
          : await readFromRedis(path.redis.redisUrl);
      context.end(tell(found, json === true));
    });
}

/** As the service answers it, and as `--json` prints it. */
const answerSchema = z.object({
  log: z.object({ generation: z.string(), seq: z.number(), authority: z.string() }),
  nodes: z.array(
    z.object({
      node: z.string(),
      state: z.enum(["in_step", "behind", "silent"]),
      seq: z.number(),
      seen_ms_ago: z.number(),
      max_staleness_ms: z.number(),
      on_stale: z.enum(ON_STALE),
      group: z.string(),
    }),
  ),
});

type Found = z.infer<typeof answerSchema> | { readonly problem: string };

function tell(found: Found, json: boolean): ExitCode {
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
  const parsed = answerSchema.safeParse(answer.body);
  if (parsed.success) return parsed.data;
  return { problem: "the session service's answer is not understood: is it another version?" };
}

async function readFromRedis(redisUrl: string): Promise<Found> {
  const reader = new RedisNodeRows(redisConnections(redisUrl), partitionKeys(0));
  try {
    const found = await reader.nodeRows();
    const { meta } = found;
    if (typeof meta === "string") {
      const advice = meta === "missing" ? ": run `sekisho log init`" : "";
      const state = meta === "restoring" ? "being restored" : meta;
      return { problem: `the revocation log is ${state}${advice}` };
    }
    const { generation, seq, authority } = meta;
    const nodes = reportNodes(found, meta).map((one) => ({
      ...{ node: one.node, state: one.state, seq: one.seq, group: one.group },
      seen_ms_ago: one.seenMsAgo,
      max_staleness_ms: one.maxStalenessMs,
      on_stale: one.onStale,
    }));
    return { log: { generation, seq, authority }, nodes };
  } catch (error) {
    if (!(error instanceof RevocationLogError)) throw error;
    return { problem: error.message };
  } finally {
    reader.close();
  }
}

function table({ log, nodes }: z.infer<typeof answerSchema>): string {
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
