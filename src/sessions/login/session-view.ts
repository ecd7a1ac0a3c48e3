/** A session as its user or an administrator sees it. Times: Unix milliseconds. */
export interface SessionView {
  readonly sessionId: string;
  readonly deviceName: string;
  readonly address: string;
  readonly createdAtMs: number;
  readonly lastUsedAtMs: number;
  readonly lastUsedAddress: string;
}

export interface OwnSessionView extends SessionView {
  /** The caller's own session. */
  readonly current: boolean;
}
