/** One readable line for what a suite measured; jest prints only names by itself. */
export function reportMeasured(what: string): void {
  process.stdout.write(`\n  measured: ${what}\n`);
}

export function formatMs(ms: number): string {
  return `${ms.toFixed(ms < 10 ? 1 : 0)} ms`;
}

/** "node-1 12 ms, node-2 14 ms" */
export function formatByNode(measured: ReadonlyMap<string, number>): string {
  return [...measured].map(([node, ms]) => `${node} ${formatMs(ms)}`).join(", ");
}
