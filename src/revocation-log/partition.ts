import { createHash } from "node:crypto";

/**
 * The Redis keys of one partition of the revocation log. They share a hash tag, so that Redis Cluster
 * stores them on one server and one script can change them atomically.
 */
export interface PartitionKeys {
  /** Stream of entries. */
  readonly log: string;
  /** Hash of the facts about the log. */
  readonly meta: string;
  /** Hash of what each node's group has applied. */
  readonly nodes: string;
}

/** How many partitions there are. */
export const PARTITIONS = 1;

export function partitionKeys(partition: number): PartitionKeys {
  const tag = `sekisho:{p${partition}}`;
  return { log: `${tag}:log`, meta: `${tag}:meta`, nodes: `${tag}:nodes` };
}

/**
 * The partition of a tenant: the first four bytes of SHA-256 of its id, big-endian, modulo their
 * number. With one partition there is nothing to compute.
 */
export function partitionOf(tenant: string): number {
  return createHash("sha256").update(tenant, "utf8").digest().readUInt32BE(0) % PARTITIONS;
}
