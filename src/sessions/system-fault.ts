/** The system's side of a failure, apart from the user's: which part was not there. */
export type SystemFault = "database" | "hashing_queue" | "keys" | "internal";
