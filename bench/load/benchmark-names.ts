export const BENCHMARKS = [
  "latency",
  "sessions",
  "burst",
  "propagation",
  "scale",
  "recovery",
] as const;
export type BenchmarkName = (typeof BENCHMARKS)[number];

/** What several understand; with anything else, whose it is has to be said. */
const COMMON = ["--small", "--record"];

export type ChosenBenchmarks =
  | { readonly kind: "wrong"; readonly message: string }
  | {
      readonly kind: "run";
      /** Whether they were named, or are those that run where none is. */
      readonly named: boolean;
      readonly names: readonly BenchmarkName[];
      readonly options: readonly string[];
    };

/** The names come first, then options. */
export function readNames(args: readonly string[]): ChosenBenchmarks {
  const count = args.findIndex((arg) => !isName(arg));
  const named = args.slice(0, count === -1 ? args.length : count).filter(isName);
  const options = args.slice(named.length);
  const common = options.every((option) => COMMON.includes(option));
  if (named.length > 1 && !common) {
    const message = `several benchmarks take ${COMMON.join(" or ")} only, not "${options.join(" ")}"`;
    return { kind: "wrong", message };
  }
  if (named.length > 0) return { kind: "run", named: true, names: [...new Set(named)], options };
  // The options of the first benchmark need no name before them.
  const names: readonly BenchmarkName[] = common ? ["latency", "sessions"] : ["latency"];
  return { kind: "run", named: false, names, options };
}

function isName(arg: string): arg is BenchmarkName {
  return BENCHMARKS.some((name) => name === arg);
}
