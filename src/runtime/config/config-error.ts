import { describeFaults, type ConfigFault } from "./read-variables.js";

/** The configuration cannot be used; the message lists every fault. Programs exit with 2. */
export class ConfigError extends Error {
  readonly faults: readonly ConfigFault[];

  constructor(faults: readonly ConfigFault[]) {
    super(describeFaults(faults));
    this.name = "ConfigError";
    this.faults = faults;
  }
}
