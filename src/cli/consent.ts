/**
 * What `sekisho revoke` does only with `--yes`. One reason for it are nodes that cannot read the kind of
 * entry: such a node is uncertain about the tenant that the entry names, or about every tenant, until the
 * log has forgotten it.
 */
import type { Command } from "commander";
import type { OperatorPath } from "./operator-config.js";
import type { RevocationKind } from "../revocation-log/entry.js";
import { readByNode } from "../revocation-log/nodes-report.js";
import { namesOfNodes, readNodes } from "./nodes.js";

/** A revocation must not wait long for a list that only warns. */
const LIST_TIMEOUT_MS = 3000;

export interface Confirmed {
  readonly yes?: true;
}

export function requireYes({ yes }: Confirmed, command: Command, consequence: string): void {
  if (yes !== true) command.error(`error: nothing was done: with --yes, ${consequence}`);
}

interface PlannedEntry {
  readonly kind: RevocationKind;
  /** undefined: it concerns more than one. */
  readonly tenant?: string | undefined;
}

/** Demands `--yes` where a live node cannot read the entry, and warns of what that does. */
export async function requireReaders(
  path: OperatorPath,
  planned: PlannedEntry,
  options: Confirmed,
  command: Command,
): Promise<void> {
  // Every version reads these: no list of nodes delays them.
  if (readByNode({}).kinds.includes(planned.kind)) return;
  const harm = await harmOfUnread(path, planned);
  if (harm === undefined) return;
  requireYes(options, command, harm);
  process.stderr.write(`sekisho revoke: warning: ${harm}.\n`);
}

/**
 * What publishing it would do at nodes that cannot read it; undefined: each live node can, or which
 * nodes there are is unknown, and standard error says so. Never rejects.
 */
async function harmOfUnread(
  path: OperatorPath,
  { kind, tenant }: PlannedEntry,
): Promise<string | undefined> {
  const found = await readNodes(path, LIST_TIMEOUT_MS);
  if ("problem" in found) {
    const [why = ""] = found.problem.split("\n");
    process.stderr.write(`Whether every node can read \`${kind}\` is unknown: ${why}\n`);
    return undefined;
  }
  const unable = found.nodes.filter(
    ({ state, kinds }) => state !== "silent" && kinds?.includes(kind) === false,
  );
  if (unable.length === 0) return undefined;
  const whose = tenant === undefined ? "of every tenant" : `of tenant ${tenant}`;
  const others = unable.filter(({ on_stale: onStale }) => onStale !== "deny");
  const policies = [...new Set(others.map(({ on_stale: onStale }) => onStale))].map(
    (one) => `; ${namesOfNodes(others.filter((node) => node.on_stale === one))}: ${one}`,
  );
  return (
    `${namesOfNodes(unable)} cannot read \`${kind}\`. Until the log has forgotten it, after about the ` +
    `longest lifetime of a token, they answer every token ${whose} as if the log were stale (503` +
    `${policies.join("")}). Upgrade nodes first`
  );
}
