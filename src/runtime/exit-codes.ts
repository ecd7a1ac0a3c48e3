/** The exit codes, the same for all programs. */
export const EXIT = {
  done: 0,
  /** Not published, or a program that could not do its work. */
  failed: 1,
  /** Wrong usage or configuration. */
  usage: 2,
  /** Published, but not every node has confirmed it. */
  unconfirmed: 3,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];
