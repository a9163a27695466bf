/** What span of time the page shows. Pure functions over milliseconds since the epoch. */

export type Range =
  | { kind: "recent"; name: string; span: number }
  | { kind: "between"; from: number; to: number };

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

export interface Preset {
  name: string;
  label: string;
  spoken: string;
  span: number;
}

/** "live" is the last five minutes, second by second. */
export const PRESETS: Preset[] = [
  { name: "live", label: "Live", spoken: "the last 5 minutes", span: 5 * MINUTE },
  { name: "15m", label: "15 m", spoken: "last 15 minutes", span: 15 * MINUTE },
  { name: "1h", label: "1 h", spoken: "last hour", span: HOUR },
  { name: "6h", label: "6 h", spoken: "last 6 hours", span: 6 * HOUR },
  { name: "24h", label: "24 h", spoken: "last 24 hours", span: DAY },
  { name: "7d", label: "7 d", spoken: "last 7 days", span: 7 * DAY },
  { name: "30d", label: "30 d", spoken: "last 30 days", span: 30 * DAY },
];

export const LIVE: Range = recent("live");
export const SHORTEST = 10_000;
export const LONGEST = 400 * DAY;

export function recent(name: string): Range {
  const found = PRESETS.find((preset) => preset.name === name) ?? PRESETS[0]!;
  return { kind: "recent", name: found.name, span: found.span };
}

/** From and to in either order, kept to lengths that can be shown. */
export function between(a: number, b: number): Range {
  let from = Math.round(Math.min(a, b));
  let to = Math.round(Math.max(a, b));
  if (to - from < SHORTEST) {
    const middle = (from + to) / 2;
    [from, to] = [Math.round(middle - SHORTEST / 2), Math.round(middle + SHORTEST / 2)];
  }
  if (to - from > LONGEST) from = to - LONGEST;
  return { kind: "between", from, to };
}

/** [from, to] of a range at the time `now`. */
export function bounds(range: Range, now: number): [number, number] {
  return range.kind === "recent" ? [now - range.span, now] : [range.from, range.to];
}

/** Nearer (factor < 1) or farther around the middle; the right edge stays when it is now. */
export function zoomed(range: Range, factor: number, now: number): Range {
  const [from, to] = bounds(range, now);
  const span = Math.min(Math.max((to - from) * factor, SHORTEST), LONGEST);
  const middle = (from + to) / 2;
  const end = Math.min(middle + span / 2, now);
  return between(end - span, end);
}

/** Moved by a part of its length; never beyond now. */
export function moved(range: Range, part: number, now: number): Range {
  const [from, to] = bounds(range, now);
  const span = to - from;
  const end = Math.min(to + span * part, now);
  return between(end - span, end);
}

export function same(a: Range, b: Range): boolean {
  if (a.kind === "recent") return b.kind === "recent" && a.name === b.name;
  return b.kind === "between" && a.from === b.from && a.to === b.to;
}
