/** The parts of the documents that are written by a program: each stands between two markers. */
import { REASONS } from "../../src/authz/check/reason.js";
import { COMMAND_VARIABLES, SCRIPT_VARIABLES, VARIABLES } from "../../src/cli/variables.js";
import { COMMON_VARIABLES } from "../../src/runtime/config/common-variables.js";
import { SESSIONS_VARIABLES } from "../../src/sessions/sessions-variables.js";
import { PROBLEMS } from "../../src/sessions/http/problem-codes.js";
import { capacityBlock } from "./capacity.js";
import { fleetBlock, type FleetResults } from "./fleet-summary.js";
import type { BenchmarkResult } from "./result.js";
import type { SessionResult } from "./session-result.js";
import { mainTable, sessionVerdict } from "./session-table.js";
import { describeRun, latencyTable, markdownTable, verdict } from "./table.js";

export type Blocks = Readonly<Record<string, string>>;

/** The document cannot be filled in as it is. */
export class BlockFault extends Error {
  constructor(message: string) {
    super(message);
    this.name = "BlockFault";
  }
}

export interface Filled {
  readonly document: string;
  /** Names of the blocks that were different before. */
  readonly outOfDate: readonly string[];
}

/**
 * The document with each block's text between its markers, each of which has a line of its own.
 *
 * @throws BlockFault when a pair of markers is missing, there twice or the wrong way round
 */
export function fillBlocks(document: string, blocks: Blocks): Filled {
  const outOfDate: string[] = [];
  let filled = document;
  for (const [name, text] of Object.entries(blocks)) {
    const { from, to } = placeOf(filled, name);
    const wanted = `\n\n${text.trim()}\n\n`;
    if (filled.slice(from, to) !== wanted) outOfDate.push(name);
    filled = filled.slice(0, from) + wanted + filled.slice(to);
  }
  return { document: filled, outOfDate };
}

/** From behind the first marker to before the second one. */
function placeOf(document: string, name: string): { from: number; to: number } {
  const at = (marker: string): number => {
    const places = document.split(`<!-- ${name}:${marker} -->`);
    const [before] = places;
    if (places.length === 2 && before !== undefined) return before.length;
    const times = places.length === 1 ? "is missing" : "is there more than once";
    throw new BlockFault(`the marker <!-- ${name}:${marker} --> ${times}`);
  };
  const from = at("begin") + `<!-- ${name}:begin -->`.length;
  const to = at("end");
  if (to < from) throw new BlockFault(`the end of ${name} stands before its beginning`);
  return { from, to };
}

/** The recorded benchmarks. */
export interface Recorded extends FleetResults {
  readonly latency: BenchmarkResult;
  readonly sessions: SessionResult;
}

/** All blocks, by the path of their document. */
export function documentBlocks({
  latency,
  sessions,
  ...fleets
}: Recorded): Readonly<Record<string, Blocks>> {
  return {
    "README.md": {
      benchmark: benchmarkBlock(latency),
      "session-service": [sessionVerdict(sessions), mainTable(sessions)].join("\n\n"),
      fleets: fleetBlock(fleets),
      reasons: reasonsTable(),
    },
    "docs/deployment.md": { capacity: capacityBlock(fleets.propagation, fleets.scale) },
    "docs/configuration.md": {
      "variables-common": variablesTable("common"),
      "variables-sidecar": variablesTable("sidecar"),
      "variables-sessions": variablesTable("sessions"),
      "variables-commands": variablesTable("commands"),
      "variables-scripts": variablesTable("scripts"),
    },
    "docs/sessions.md": { problems: problemsTable() },
  };
}

function benchmarkBlock(result: BenchmarkResult): string {
  return [verdict(result.rounds), latencyTable(result.rounds), describeRun(result)].join("\n\n");
}

/** Defaults that are found out when a program starts. */
const DEFAULT_IN_WORDS: Readonly<Record<string, string>> = { SEKISHO_NODE_ID: "the host's name" };

export const VARIABLE_GROUPS = ["common", "sidecar", "sessions", "commands", "scripts"] as const;
type VariableGroup = (typeof VARIABLE_GROUPS)[number];

/** Who reads it. */
function groupOf(name: string): VariableGroup {
  if (Object.hasOwn(COMMON_VARIABLES, name)) return "common";
  if (Object.hasOwn(COMMAND_VARIABLES, name)) return "commands";
  if (Object.hasOwn(SCRIPT_VARIABLES, name)) return "scripts";
  return Object.hasOwn(SESSIONS_VARIABLES, name) ? "sessions" : "sidecar";
}

export function variablesTable(group: VariableGroup): string {
  const ofGroup = Object.entries(VARIABLES).filter(([name]) => groupOf(name) === group);
  const rows = ofGroup.map(([name, { fallback, allowed, meaning }]) => {
    const known = fallback === undefined ? (DEFAULT_IN_WORDS[name] ?? "–") : `\`${fallback}\``;
    return [`\`${name}\``, known, allowed, meaning];
  });
  const titles = ["variable", "default", "allowed", "meaning"];
  return markdownTable(
    titles.map((title) => ({ title })),
    rows,
  );
}

export function reasonsTable(): string {
  const rows = Object.entries(REASONS).map(([reason, { status, title }]) => [
    `\`${reason}\``,
    status === undefined ? "–" : String(status),
    title,
  ]);
  return markdownTable([{ title: "reason" }, { title: "HTTP" }, { title: "meaning" }], rows);
}

export function problemsTable(): string {
  const rows = Object.entries(PROBLEMS).map(([code, { status, title }]) => [
    `\`${code}\``,
    String(status),
    title,
  ]);
  return markdownTable([{ title: "code" }, { title: "HTTP" }, { title: "meaning" }], rows);
}
