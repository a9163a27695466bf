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

export type Frame = PanelsFrame | TickFrame | { type: "pong" } | { type: "error"; detail: string };
