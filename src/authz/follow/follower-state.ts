/**
 * The follower keeps this node's local state in step with the revocation log, and knows how long ago
 * it last proved that.
 *
 *   connecting ──► examining ──► paging ──► following ──► closed
 *       ▲              │  │         │         ▲    │
 *       │              │  └─────────┼─────────┘    │
 *       └──────────────┴────────────┴──────────────┘  anything out of order
 *
 * - connecting: a new connection for every attempt, after a short delay.
 * - examining: is this a log that can be followed? If not, say why and try again. If only the
 *   connection was lost (same server, same log), the group is still there: following goes on with
 *   the entries that were delivered and never acknowledged.
 * - paging: the whole log is read to its end and must be without a gap; *then* the group is made at
 *   the last ID read, so that nothing can fall between paging and following. A log that was restored
 *   without loss from the one that this node had applied is not read: the group is made at its tail.
 * - following: read, apply, judge, acknowledge. A read that returned everything there was proves
 *   freshness as of the moment at which it was *sent*. Where replicas are demanded, it does so only
 *   once a quorum of them has confirmed a write that followed the read on the same connection: a
 *   master that was replaced does not get its quorum.
 *
 * Falling back never forgets a revocation and never counts as a proof. Meanwhile staleness grows,
 * and the staleness policy answers once it passes the limit.
 *
 * `FollowerState` is all that a follower knows of its log, and only `next` changes it. `Follower`
 * does the I/O and reports events.
 */
import type { Moment } from "../../runtime/clock.js";
import type { AppliedUpTo, LogProblem } from "./log-examination.js";
import type { ResyncCause } from "./log-order.js";
import type { LogMeta, LogServer, PreviousLog } from "../../revocation-log/revocation-log.js";

/** How far the local state can be relied on. */
export interface Freshness {
  /** The moment as of which everything published was applied; undefined: never yet. */
  readonly provenAt: Moment | undefined;
  /** Unix milliseconds; the log holds every revocation since then. */
  readonly coversFromMs: number;
}

/** A log in a server, as it was when it was examined. */
interface LogOnServer {
  readonly meta: LogMeta;
  readonly server: LogServer;
}

/** Where to go on: with a group that was made for this log on this server, or with a new one. */
type Position =
  | ({ readonly kind: "joined"; readonly group: string } & LogOnServer)
  | { readonly kind: "none"; readonly cause: ResyncCause; readonly why: string };
export type Joined = Extract<Position, { readonly kind: "joined" }>;
type Unjoined = Exclude<Position, Joined>;

/** An entry of the log. */
export interface Tail {
  readonly lastId: string;
  readonly seq: number;
}

export type Phase =
  | { readonly name: "connecting" | "examining"; readonly position: Position }
  | ({
      readonly name: "paging";
      readonly position: Unjoined;
      /** Everything up to here is applied; undefined: the whole log has to be read. */
      readonly tail: Tail | undefined;
    } & LogOnServer)
  | { readonly name: "following"; readonly position: Joined }
  | { readonly name: "closed"; readonly position: Position };

export interface FollowerState {
  readonly phase: Phase;
  /** The last entry applied; kept over everything but a new generation. */
  readonly applied: AppliedUpTo | undefined;
  /** The log that was joined last; undefined: none, or it was out of order. */
  readonly inOrder: LogMeta | undefined;
  readonly freshness: Freshness;
  /** The group made last, joined or not. */
  readonly group: string | undefined;
  readonly groupsMade: number;
  /** Up to which of them: the last one that was joined. */
  readonly groupsJoined: number;
}

export type FollowerEvent =
  | { readonly kind: "connected" }
  /** This is not a log that can be followed. */
  | { readonly kind: "unfit"; readonly problem: LogProblem }
  | ({ readonly kind: "fit"; readonly previous?: PreviousLog | undefined } & LogOnServer)
  /** The whole log is applied, up to `seq`, and `group` is about to be made behind that. */
  | { readonly kind: "paged"; readonly seq: number; readonly group: string }
  | { readonly kind: "joined" }
  | { readonly kind: "advanced"; readonly seq: number }
  | { readonly kind: "proven"; readonly sentAt: Moment; readonly coversFromMs: number }
  /** The connection is gone; what was read so far stays good. */
  | { readonly kind: "lost" }
  /** What this node had read proves nothing any more. */
  | { readonly kind: "out_of_step"; readonly cause: ResyncCause; readonly why: string }
  | { readonly kind: "closed" };

export const INITIAL_STATE: FollowerState = {
  phase: {
    name: "connecting",
    position: { kind: "none", cause: "start", why: "this node has just started" },
  },
  applied: undefined,
  inOrder: undefined,
  freshness: { provenAt: undefined, coversFromMs: 0 },
  group: undefined,
  groupsMade: 0,
  groupsJoined: 0,
};

/** The n-th group that a process makes, from 1 on. */
export function groupName(prefix: string, n: number): string {
  return `${prefix}:${n}`;
}

/** A server that was promoted may not know of the last removals. */
const JOINED_MAX = 8;
/** Attempts to join may fail for long, as where replicas are missing. */
const ATTEMPTED_MAX = 32;

/**
 * The groups that may still be there, for the next one to replace: those joined last, and those of joins
 * that failed since, which may have been made or not.
 */
export function groupsLeft(
  prefix: string,
  { groupsMade, groupsJoined }: Pick<FollowerState, "groupsMade" | "groupsJoined">,
): readonly string[] {
  const joined = Math.min(groupsJoined, JOINED_MAX);
  const attempted = Math.min(groupsMade - groupsJoined, ATTEMPTED_MAX);
  return [
    ...Array.from({ length: joined }, (_, at) => groupName(prefix, groupsJoined - at)),
    ...Array.from({ length: attempted }, (_, at) => groupName(prefix, groupsMade - at)),
  ];
}

/** The state after `event`. Pure. Throws where the event cannot happen in this state: a bug. */
export function next(state: FollowerState, event: FollowerEvent): FollowerState {
  const { phase } = state;
  const { position } = phase;
  switch (event.kind) {
    case "connected":
      return { ...state, phase: { name: "examining", position } };
    case "unfit": {
      const { code, message } = event.problem;
      const why = `${code}: ${message}`;
      // The first cause says more than what was found since.
      const left: Unjoined =
        position.kind === "none" ? position : { kind: "none", cause: "log_changed", why };
      const inOrder = inOrderUnlessFallen(state, event.problem);
      return { ...state, inOrder, phase: { name: "examining", position: left } };
    }
    case "fit":
      return { ...state, phase: phaseOnFitLog(state, event) };
    case "paged": {
      if (phase.name !== "paging") throw new Error(`a log was paged while ${phase.name}`);
      const applied = { generation: phase.meta.generation, seq: event.seq };
      return { ...state, applied, group: event.group, groupsMade: state.groupsMade + 1 };
    }
    case "joined": {
      const { group } = state;
      if (phase.name !== "paging" || group === undefined) throw new Error("joined without a log");
      const { meta, server } = phase;
      const joined: Joined = { kind: "joined", group, meta, server };
      const { groupsMade: groupsJoined } = state;
      const following = { name: "following", position: joined } as const;
      return { ...state, inOrder: meta, groupsJoined, phase: following };
    }
    case "advanced": {
      const applied = { generation: joinedIn(state).meta.generation, seq: event.seq };
      return { ...state, applied };
    }
    case "proven": {
      joinedIn(state);
      const { sentAt: provenAt, coversFromMs } = event;
      return { ...state, freshness: { provenAt, coversFromMs } };
    }
    case "lost":
      return { ...state, phase: { name: "connecting", position } };
    case "out_of_step": {
      const { cause, why } = event;
      const inOrder = IN_ORDER_CAUSES.has(cause) ? state.inOrder : undefined;
      const position = { kind: "none", cause, why } as const;
      return { ...state, inOrder, phase: { name: "connecting", position } };
    }
    case "closed":
      return { ...state, phase: { name: "closed", position } };
  }
}

/** A log that fell may have given a seq to a second entry. */
function inOrderUnlessFallen(
  { inOrder }: FollowerState,
  { code }: LogProblem,
): FollowerState["inOrder"] {
  return code === "log_fell" ? undefined : inOrder;
}

/** Where a follower that follows reads from. Throws where it does not follow: a bug. */
export function joinedIn({ phase }: FollowerState): Joined {
  if (phase.name !== "following") throw new Error(`no group is joined while ${phase.name}`);
  return phase.position;
}

/** Causes after which what was applied is still known to be the log up to its seq. */
const IN_ORDER_CAUSES: ReadonlySet<ResyncCause> = new Set([
  "generation_changed",
  "server_changed",
  "log_changed",
  "unexpected_reply",
]);

/**
 * Where a node goes on that had applied the log that was restored. That log and this one must agree in
 * everything by which an old entry of this one could be missing in that one.
 */
function tailFor(
  { applied, inOrder }: FollowerState,
  { meta, previous }: Extract<FollowerEvent, { readonly kind: "fit" }>,
): Tail | undefined {
  if (applied === undefined || inOrder === undefined || previous === undefined) return undefined;
  const { generation, seq, tailId, tailSeq } = previous;
  const isApplied =
    inOrder.generation === generation && applied.generation === generation && applied.seq >= seq;
  const isSame =
    meta.authority === "database" &&
    inOrder.authority === "database" &&
    inOrder.horizonS === meta.horizonS &&
    inOrder.partitions === meta.partitions &&
    inOrder.coversFromMs === meta.coversFromMs;
  return isApplied && isSame ? { lastId: tailId, seq: tailSeq } : undefined;
}

function phaseOnFitLog(
  state: FollowerState,
  event: Extract<FollowerEvent, { readonly kind: "fit" }>,
): Phase {
  const { position } = state.phase;
  const { applied } = state;
  const { meta, server } = event;
  if (position.kind === "joined" && isResumable(position, { meta, server })) {
    return { name: "following", position };
  }
  const changed = applied !== undefined && applied.generation !== meta.generation;
  const left: Unjoined =
    position.kind === "none"
      ? position
      : {
          kind: "none",
          cause: "server_changed",
          why: "Redis was restarted or promoted, or the connection leads to another one",
        };
  const cause = changed ? "generation_changed" : left.cause;
  const tail = tailFor(state, event);
  return { name: "paging", meta, server, position: { ...left, cause }, tail };
}

/** Whether this is still the log, in the server, for which the group was made. */
function isResumable(joined: LogOnServer, found: LogOnServer): boolean {
  const [known, meta] = [joined.meta, found.meta];
  return (
    joined.server.runId === found.server.runId &&
    (meta.authority === "redis" || joined.server.replId === found.server.replId) &&
    known.generation === meta.generation &&
    known.runId === meta.runId &&
    known.authority === meta.authority &&
    known.horizonS === meta.horizonS
  );
}
