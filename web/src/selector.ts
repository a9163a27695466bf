/** Narrowing queries for a drill-down. Pure functions. */

import type { Labels, Query, Widget } from "./contract";

const LABEL = /^[a-zA-Z_][a-zA-Z0-9_]*$/;

/** A PromQL selector with more equality matchers. */
export function narrowed(selector: string, where: [string, string][]): string {
  const more = where
    .filter(([label]) => LABEL.test(label) && label !== "__name__")
    .map(([label, value]) => `${label}=${quoted(value)}`)
    .join(",");
  if (!more) return selector;
  const text = selector.trimEnd();
  if (!text.endsWith("}")) return `${text}{${more}}`;
  const head = text.slice(0, -1).trimEnd();
  return head.endsWith("{") || head.endsWith(",") ? `${head}${more}}` : `${head},${more}}`;
}

/** The widget as a drill-down shows it: split by one label, and only what fits `where`. */
export function drilled(widget: Widget, by: string, where: [string, string][]): Widget {
  const queries = widget.queries.map((query): Query => {
    const match = query.match.map((selector) => narrowed(selector, where));
    if (!by) return { ...query, match };
    const mean = widget.unit === "ratio" && query.fn === "value";
    const agg = query.agg === "none" ? (mean ? "mean" : "sum") : query.agg;
    const several = widget.queries.length > 1 && query.legend && !query.legend.includes("{");
    const legend = `${several ? `${query.legend}, ` : ""}${by} {${by}}`;
    return { ...query, match, agg, by: [by], legend, top: 0 };
  });
  return { ...widget, queries };
}

/** Selectors of the raw series behind one line. */
export function behind(widget: Widget, where: [string, string][]): string[] {
  return widget.queries.flatMap((query) => query.match.map((text) => narrowed(text, where)));
}

/** A series as PromQL writes it. */
export function written(labels: Labels): string {
  const rest = Object.entries(labels).filter(([label]) => label !== "__name__");
  const inner = rest.map(([label, value]) => `${label}=${quoted(value)}`).join(", ");
  return `${labels.__name__ ?? ""}${inner ? `{${inner}}` : ""}`;
}

function quoted(value: string): string {
  return `"${value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n")}"`;
}
