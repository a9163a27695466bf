/** A finding's evidence as a panel: the answer to its query over its range. */

import type { Evidence, Matrix, RangeResult, Value, Widget } from "./contract";
import { Panel } from "./panel";
import { matchers, written } from "./selector";
import type { Server } from "./server";

const POINTS = 400;
const LINES = 12;
const SECOND = 1000;
const SHORTEST_MS = 120 * SECOND;

/** The range to show: a very short one is given room on both sides. */
export function shownRange({ start_ms, end_ms }: Evidence): [number, number] {
  const missing = SHORTEST_MS - (end_ms - start_ms);
  return missing > 0 ? [start_ms - missing / 2, end_ms + missing / 2] : [start_ms, end_ms];
}

/** Whole seconds between two values. */
export function stepOf(from: number, to: number): number {
  return Math.max(1, Math.ceil((to - from) / POINTS / SECOND)) * SECOND;
}

/** An empty panel for the chart of an evidence. */
export function panelOf(evidence: Evidence, title: string): Panel {
  const widget: Widget = {
    id: evidence.query, plugin: "", title, kind: "timeseries", section: "", unit: unitOf(evidence.query),
    help: evidence.note, bad: "", stacked: false, minimum: null, maximum: null, drill_by: [],
    queries: [], options: {}, module: "",
  };
  return new Panel("evidence", widget);
}

/** Ask, and fill the panel or tell in it why not. */
export async function loadEvidence(server: Server, evidence: Evidence, panel: Panel): Promise<void> {
  const [from, to] = shownRange(evidence);
  const step = stepOf(from, to);
  try {
    const matrix = await server.promql(evidence.query, from, to, step);
    panel.fill([lines(matrix, from, to, step)], to, step, false);
  } catch (error) {
    panel.fail(error instanceof Error ? error.message : String(error));
  }
}

/** Prometheus' matrix as lines over common times; only the first 12. */
export function lines(matrix: Matrix, from: number, to: number, step: number): RangeResult {
  const count = Math.floor((to - from) / step) + 1;
  const t = Array.from({ length: count }, (_, i) => from + i * step);
  const series = matrix.result.slice(0, LINES).map(({ metric, values = [] }) => {
    const row = new Array<Value>(count).fill(null);
    for (const [seconds, text] of values) {
      const at = Math.round((seconds * SECOND - from) / step);
      const value = Number(text);
      if (at >= 0 && at < count && Number.isFinite(value)) row[at] = value;
    }
    return { labels: metric, legend: written(metric) || "value", values: row };
  });
  return { step_ms: step, level_ms: 0, t, truncated: matrix.result.length > LINES, series };
}

const UNITS: [string, string][] = [
  ["_bytes", "bytes"], ["_seconds", "seconds"], ["_ratio", "ratio"], ["_celsius", "celsius"],
  ["_hertz", "hertz"],
];

/** As the metric's name ends, if the query is a plain selector. */
export function unitOf(query: string): string {
  const name = matchers(query)?.find((one) => one.label === "__name__" && one.op === "=")?.value ?? "";
  return UNITS.find(([ending]) => name.endsWith(ending))?.[1] ?? "";
}
