/** What the server answers, as types. */

export interface Query {
  match: string[];
  fn: string;
  agg: string;
  by: string[];
  scale: number;
  legend: string;
  top: number;
}

export interface Widget {
  id: string;
  plugin: string;
  title: string;
  kind: string;
  section: string;
  unit: string;
  help: string;
  bad: string;
  stacked: boolean;
  minimum: number | null;
  maximum: number | null;
  drill_by: string[];
  queries: Query[];
  options: Record<string, unknown>;
  module: string;
}

export interface Section {
  name: string;
  widgets: Widget[];
}

export interface Problem {
  what: string;
  where: string;
  remedy: string;
  severity: string;
}

export interface Dashboard {
  title: string;
  version: string;
  interval_ms: number;
  now_ms: number;
  csrf: string;
  sections: Section[];
  problems: Problem[];
}

export type Labels = Record<string, string>;
export type Value = number | null;

export interface RangeSeries {
  labels: Labels;
  legend: string;
  values: Value[];
  min?: Value[] | null;
  max?: Value[] | null;
}

/** The answer to one query; only `error` if that query failed. */
export interface RangeResult {
  step_ms: number;
  level_ms: number;
  t: number[];
  truncated: boolean;
  series: RangeSeries[];
  error?: string;
}

export interface FoundSeries {
  ref: number;
  labels: Labels;
  kind: string;
  unit: string;
  help: string;
}

export interface Samples {
  t: number[];
  v: Value[];
  total: number;
}

export type Severity = "info" | "warning" | "critical";
export type FindingState = "open" | "acknowledged" | "dismissed" | "resolved";

/** A query and the range that shows what a finding speaks of. */
export interface Evidence {
  query: string;
  start_ms: number;
  end_ms: number;
  note: string;
}

/** What an analyser or a detector saw, and what became of it. Its words and labels are a stranger's. */
export interface Finding {
  id: string;
  source: string;
  kind: string;
  title: string;
  text: string;
  severity: Severity;
  confidence: number;
  state: FindingState;
  start_ms: number;
  end_ms: number;
  first_ms: number;
  last_ms: number;
  times: number;
  labels: Labels;
  evidence: Evidence[];
  details: Record<string, unknown>;
  history: { t_ms: number; state: FindingState; by: string; note: string }[];
}

/** A range of a PromQL query, as Prometheus answers it. */
export interface Matrix {
  resultType: string;
  result: { metric: Labels; values?: [number, string][] }[];
}

export interface PanelsFrame {
  type: "panels";
  panels: Record<string, { labels: Labels; legend: string }[]>;
}

export interface TickFrame {
  type: "tick";
  t: number;
  v: Record<string, Value[]>;
  skipped: number;
}

export type Frame =
  | PanelsFrame
  | TickFrame
  | { type: "findings" }
  | { type: "pong" }
  | { type: "error"; detail: string };
