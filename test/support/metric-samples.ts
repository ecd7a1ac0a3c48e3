/** The samples of a page in Prometheus' text format, by name and labels as they are written. */
export async function samplesOf(metrics: {
  page(): Promise<{ readonly text: string }>;
}): Promise<Readonly<Record<string, string>>> {
  const { text } = await metrics.page();
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return Object.fromEntries(
    lines.map((line): [string, string] => {
      const [, name, value] = /^([a-zA-Z_:][a-zA-Z0-9_:]*(?:\{.*\})?) (\S+)$/.exec(line) ?? [];
      if (name === undefined || value === undefined) throw new Error(`no sample: ${line}`);
      return [name, value];
    }),
  );
}
