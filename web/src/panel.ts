/** The data of one widget over the range that is shown: loaded whole, then grown by live ticks. */

import type { Labels, RangeResult, Value, Widget } from "./contract";

export interface Line {
  key: string;
  query: number;
  labels: Labels;
  legend: string;
  /** Its colour, as long as it is there. */
  slot: number;
  values: Value[];
  min: Value[] | null;
  max: Value[] | null;
}

/** `waiting`: no data yet; `nothing`: none in this range. */
export type PanelState = "loading" | "ready" | "waiting" | "nothing" | "error";

const STALE_MS = 15_000;

export class Panel {
  state: PanelState = "loading";
  error = "";
  t: number[] = [];
  lines: Line[] = [];
  step = 1000;
  level = 0;
  truncated = false;
  /** Which load of the board it belongs to, and how far its data go (server's time, ms). */
  generation = -1;
  until = 0;
  /** Grows when the lines themselves change, not only their values. */
  shape = 0;
  private folded = 0;
  private readonly listeners = new Set<() => void>();

  constructor(
    readonly id: string,
    readonly widget: Widget,
    /** Shown large, with finer data. */
    readonly detail = false,
  ) {}

  listen(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  changed(): void {
    for (const listener of this.listeners) listener();
  }

  /** Take the answers to all the widget's queries, in their order. */
  fill(results: RangeResult[], until: number, interval: number, open: boolean): void {
    const failed = results.find((result) => result.error);
    if (failed) {
      this.fail(failed.error ?? "");
      return;
    }
    const before = new Map(this.lines.map((line) => [line.key, line]));
    const first = results[0];
    this.t = first ? first.t : [];
    this.step = first ? first.step_ms : 1000;
    this.level = first ? first.level_ms : 0;
    this.truncated = results.some((result) => result.truncated);
    this.lines = [];
    results.forEach((result, query) => {
      for (const series of result.series) {
        const key = keyOf(query, series.labels);
        const line: Line = {
          key,
          query,
          labels: series.labels,
          legend: series.legend,
          slot: before.get(key)?.slot ?? -1,
          values: series.values,
          min: series.min ?? null,
          max: series.max ?? null,
        };
        this.lines.push(line);
      }
    });
    this.order();
    for (const line of this.lines) if (line.slot < 0) line.slot = this.freeSlot();
    this.until = until;
    const last = this.t[this.t.length - 1] ?? until;
    this.folded = Math.max(1, Math.round((until - last) / Math.max(interval, 1)));
    this.shape += 1;
    this.state = this.lines.length ? "ready" : open ? "waiting" : "nothing";
    this.changed();
  }

  fail(reason: string): void {
    this.state = "error";
    this.error = reason;
    this.changed();
  }

  /** Add a live tick at `time`; what is older than `from` goes. */
  fold(
    time: number,
    from: number,
    parts: { lines: { labels: Labels; legend: string }[]; values: Value[] }[],
  ): void {
    if (this.state === "loading" || this.state === "error") return;
    const bucket = Math.floor(time / this.step) * this.step;
    const last = this.t[this.t.length - 1];
    if (last !== undefined && bucket < last) return;
    const fresh = last === undefined || bucket > last;
    if (fresh) {
      if (last !== undefined && bucket - last > 2.5 * this.step) this.grow(last + this.step);
      this.grow(bucket);
      this.folded = 0;
    }
    const at = this.t.length - 1;
    const known = new Map(this.lines.map((line) => [line.key, line]));
    parts.forEach(({ lines, values }, query) => {
      const sums = this.widget.queries[query]?.fn === "increase";
      lines.forEach(({ labels, legend }, i) => {
        const value = values[i];
        if (value === null || value === undefined) return;
        const key = keyOf(query, labels);
        const line = known.get(key) ?? this.begin(key, query, labels, legend);
        const old = line.values[at];
        if (old === null || old === undefined) line.values[at] = value;
        else line.values[at] = sums ? old + value : old + (value - old) / (this.folded + 1);
        if (line.min) line.min[at] = Math.min(line.min[at] ?? value, value);
        if (line.max) line.max[at] = Math.max(line.max[at] ?? value, value);
      });
    });
    this.folded += 1;
    this.until = time;
    this.trim(from);
    this.state = this.lines.length ? "ready" : "waiting";
    this.changed();
  }

  /** A line's newest value, null if it has ended. */
  now(line: Line): Value {
    const reach = Math.max(2 * this.step, STALE_MS);
    const end = this.t[this.t.length - 1] ?? 0;
    for (let i = this.t.length - 1; i >= 0 && end - this.t[i]! <= reach; i -= 1) {
      const value = line.values[i];
      if (value !== null && value !== undefined) return value;
    }
    return null;
  }

  private grow(time: number): void {
    this.t.push(time);
    for (const line of this.lines) {
      line.values.push(null);
      line.min?.push(null);
      line.max?.push(null);
    }
  }

  private begin(key: string, query: number, labels: Labels, legend: string): Line {
    const values = new Array<Value>(this.t.length).fill(null);
    const line = { key, query, labels, legend, slot: this.freeSlot(), values, min: null, max: null };
    this.lines.push(line);
    this.order();
    this.shape += 1;
    return line;
  }

  /** As people count: "CPU 2" before "CPU 10"; a query that ranks its lines keeps their ranks. */
  private order(): void {
    const { queries } = this.widget;
    this.lines.sort((a, b) => {
      if (a.query !== b.query || queries[a.query]?.top) return a.query - b.query;
      return natural.compare(a.legend, b.legend);
    });
  }

  private trim(from: number): void {
    let drop = 0;
    while (drop < this.t.length - 2 && this.t[drop + 1]! < from) drop += 1;
    if (!drop) return;
    this.t.splice(0, drop);
    for (const line of this.lines) {
      line.values.splice(0, drop);
      line.min?.splice(0, drop);
      line.max?.splice(0, drop);
    }
    const kept = this.lines.filter((line) => line.values.some((value) => value !== null));
    if (kept.length !== this.lines.length) {
      this.lines = kept;
      this.shape += 1;
    }
  }

  private freeSlot(): number {
    const taken = new Set(this.lines.map((line) => line.slot));
    let slot = 0;
    while (taken.has(slot)) slot += 1;
    return slot;
  }
}

const natural = new Intl.Collator("en", { numeric: true });

function keyOf(query: number, labels: Labels): string {
  return JSON.stringify([query, ...Object.keys(labels).sort().map((name) => [name, labels[name]])]);
}
