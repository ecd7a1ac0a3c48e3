/** There is one partition. Redis keys, database rows and audit rows carry its number. */
export const PARTITION = 0;

/** The log's `meta` says how many there are; programs that disagree keep out of the log. */
export const PARTITIONS = 1;

/** The Redis keys of the revocation log. */
export interface PartitionKeys {
  /** Stream of entries. */
  readonly log: string;
  /** Hash of the facts about the log. */
  readonly meta: string;
  /** Hash of what each node's group has applied. */
  readonly nodes: string;
}

const TAG = `sekisho:{p${PARTITION}}`;

/** They share a hash tag: Redis Cluster keeps them together, and a script can change all at once. */
export const LOG_KEYS: PartitionKeys = {
  log: `${TAG}:log`,
  meta: `${TAG}:meta`,
  nodes: `${TAG}:nodes`,
};
