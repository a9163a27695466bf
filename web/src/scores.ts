/** How abnormal the series of each chart are, from the scores that detectors give as series. */

import type { LiveTick } from "./connection";
import type { Dashboard, Labels, Query, RangeResult, Value, Widget } from "./contract";
import { fits, matchers } from "./selector";

export const SCORES = "scores";
/** From here on it is worth a look. */
export const UNUSUAL = 0.5;

interface Score {
  /** Of the series that is scored, as far as selectors ask for them. */
  labels: Labels;
  value: number;
}

export class Scores {
  query: Query | null = null;
  private scores: Score[] = [];
  private readonly found = new Map<string, number | null>();

  /** One line for each combination of labels that some chart's selector asks for. */
  prepare(dashboard: Dashboard): void {
    const by = new Set(["metric"]);
    for (const { widgets } of dashboard.sections) {
      for (const selector of widgets.flatMap((one) => one.queries.flatMap((query) => query.match))) {
        for (const { label } of matchers(selector) ?? []) if (label !== "__name__") by.add(label);
      }
    }
    this.query = {
      match: ["barograph_anomaly_score"], fn: "value", agg: "max", by: [...by], scale: 1,
      legend: "", top: 0,
    };
  }

  /** Take the newest of a tick. */
  follow(tick: LiveTick): void {
    const values = tick.values[SCORES];
    if (!values) return;
    const lines = tick.lines.get(SCORES) ?? [];
    this.take(lines.map(({ labels }, i) => [labels, values[i] ?? null]));
  }

  /** Take the highest of a range. */
  fill(result: RangeResult): void {
    this.take(
      result.series.map(({ labels, max, values }) => {
        const known = (max ?? values).filter((one): one is number => one !== null);
        return [labels, known.length ? Math.max(...known) : null];
      }),
    );
  }

  clear(): void {
    this.take([]);
  }

  /** The highest score of the series that a chart shows; null where none is scored. */
  of(widget: Widget): number | null {
    if (!this.scores.length) return null;
    const known = this.found.get(widget.id);
    if (known !== undefined) return known;
    const wanted = widget.queries.flatMap((query) => query.match).map(matchers);
    let most: number | null = null;
    for (const { labels, value } of this.scores) {
      if (most !== null && value <= most) continue;
      if (wanted.some((one) => one !== null && fits(one, labels))) most = value;
    }
    this.found.set(widget.id, most);
    return most;
  }

  private take(found: [Labels, Value][]): void {
    this.scores = [];
    this.found.clear();
    for (const [{ metric, ...labels }, value] of found) {
      if (metric && value !== null) this.scores.push({ labels: { ...labels, __name__: metric }, value });
    }
  }
}
