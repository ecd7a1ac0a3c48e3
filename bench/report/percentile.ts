/** Percentiles, medians and spreads of samples whose number was known in advance. */

export interface Percentiles {
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
}

export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/**
 * The smallest sample that at least `percent` % of all samples do not exceed (the nearest rank), so
 * it is always one that was measured.
 *
 * @param sorted ascending
 * @param percent a whole number from 1 to 100
 */
export function percentileOf(sorted: Float64Array, percent: number): number {
  if (!Number.isInteger(percent) || percent < 1 || percent > 100) {
    throw new RangeError(`not a whole number from 1 to 100: ${percent}`);
  }
  // Multiplied first: whole numbers are exact, and 0.07 × 100 would be a little more than 7.
  const rank = Math.ceil((percent * sorted.length) / 100);
  const value = sorted[rank - 1];
  if (value === undefined) throw new RangeError("there is no percentile of no samples");
  return value;
}

/** @throws RangeError for samples that are not finite: they cannot be put in order */
export function percentilesOf(samples: Float64Array): Percentiles {
  if (!samples.every((sample) => Number.isFinite(sample))) {
    throw new RangeError("a sample is not a finite number");
  }
  const sorted = samples.toSorted();
  return {
    p50: percentileOf(sorted, 50),
    p95: percentileOf(sorted, 95),
    p99: percentileOf(sorted, 99),
  };
}

/** The median is the mean of the middle two where their number is even. */
export function spreadOf(values: readonly number[]): Spread {
  const sorted = Float64Array.from(values).sort();
  const [min, max] = [sorted.at(0), sorted.at(-1)];
  const lower = sorted[Math.floor((sorted.length - 1) / 2)];
  const upper = sorted[Math.floor(sorted.length / 2)];
  if (min === undefined || max === undefined || lower === undefined || upper === undefined) {
    throw new RangeError("there is no spread of no values");
  }
  return { median: (lower + upper) / 2, min, max };
}
