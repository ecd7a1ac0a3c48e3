/**
 * Why the set-up (or the program after it) could not go on: what, where, and what to do. `run.mjs`
 * prints the message without a stack trace and exits with `exitCode`.
 */
export class SetUpFault extends Error {
  /**
   * @param {string} message
   * @param {number} [exitCode] 1: a step could not be done; 2: wrong usage or configuration
   */
  constructor(message, exitCode = 1) {
    super(message);
    this.name = "SetUpFault";
    this.exitCode = exitCode;
  }
}
