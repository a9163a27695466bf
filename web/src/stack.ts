/** Stacked lines. Pure functions. */

import type { Value } from "./contract";

/** Running sums from the first line up; null only where no line has a value. */
export function stacked(lines: Value[][], length: number): Value[][] {
  const sums: Value[] = new Array<Value>(length).fill(null);
  for (const line of lines) {
    for (let i = 0; i < length; i += 1) {
      if (line[i] !== null && line[i] !== undefined && sums[i] === null) sums[i] = 0;
    }
  }
  return lines.map((line) => {
    for (let i = 0; i < length; i += 1) {
      const value = line[i];
      if (value !== null && value !== undefined) sums[i] = (sums[i] ?? 0) + value;
    }
    return sums.slice();
  });
}

export interface Summary {
  last: Value;
  min: Value;
  mean: Value;
  max: Value;
}

export function summary(values: Value[]): Summary {
  let last: Value = null;
  let min = Infinity;
  let max = -Infinity;
  let sum = 0;
  let count = 0;
  for (const value of values) {
    if (value === null) continue;
    last = value;
    if (value < min) min = value;
    if (value > max) max = value;
    sum += value;
    count += 1;
  }
  return count ? { last, min, mean: sum / count, max } : { last, min: null, mean: null, max: null };
}

/** In words, from the first and last quarter of the points. */
export function trend(values: Value[]): "rising" | "falling" | "steady" {
  const known = values.filter((value): value is number => value !== null);
  const part = Math.floor(known.length / 4);
  if (part < 2) return "steady";
  const mean = (some: number[]) => some.reduce((a, b) => a + b, 0) / some.length;
  const before = mean(known.slice(0, part));
  const after = mean(known.slice(-part));
  const room = Math.max(Math.abs(before), Math.abs(after)) * 0.15;
  return after - before > room ? "rising" : before - after > room ? "falling" : "steady";
}
