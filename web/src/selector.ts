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

export interface Matcher {
  label: string;
  op: "=" | "!=" | "=~" | "!~";
  value: string;
}

const KEPT = 1000;
const parsed = new Map<string, Matcher[] | null>();

/** What a plain PromQL selector asks of a series; null for any other expression. */
export function matchers(selector: string): Matcher[] | null {
  let found = parsed.get(selector);
  if (found === undefined) {
    if (parsed.size >= KEPT) parsed.clear();
    found = parse(selector);
    parsed.set(selector, found);
  }
  return found;
}

function parse(selector: string): Matcher[] | null {
  const shape = /^\s*([a-zA-Z_:][\w:]*)?\s*(?:\{(.*)\})?\s*$/s.exec(selector);
  if (!shape || (shape[1] === undefined && shape[2] === undefined)) return null;
  const found: Matcher[] = [];
  if (shape[1]) found.push({ label: "__name__", op: "=", value: shape[1] });
  const part = /\s*([a-zA-Z_]\w*)\s*(=~|!~|!=|=)\s*("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`)\s*(,|$)/sy;
  const inner = (shape[2] ?? "").trim();
  while (part.lastIndex < inner.length) {
    const at = part.exec(inner);
    if (!at) return null;
    found.push({ label: at[1]!, op: at[2] as Matcher["op"], value: unquoted(at[3]!) });
  }
  return found;
}

/** Whether a series is one that the matchers ask for; a label it lacks is "". */
export function fits(wanted: Matcher[], labels: Labels): boolean {
  return wanted.every(({ label, op, value }) => {
    const own = Object.hasOwn(labels, label) ? labels[label]! : "";
    if (op === "=") return own === value;
    if (op === "!=") return own !== value;
    const pattern = expression(value);
    return pattern !== null && pattern.test(own) === (op === "=~");
  });
}

const expressions = new Map<string, RegExp | null>();

/** A whole-text pattern; null for one that only the server's syntax knows. */
function expression(text: string): RegExp | null {
  let found = expressions.get(text);
  if (found === undefined) {
    try {
      found = new RegExp(`^(?:${text})$`, "s");
    } catch (error) {
      console.info("this browser cannot match the pattern:", String(error));
      found = null;
    }
    expressions.set(text, found);
  }
  return found;
}

const ESCAPES: Record<string, string> = { n: "\n", t: "\t", r: "\r" };

function unquoted(text: string): string {
  const inner = text.slice(1, -1);
  return text.startsWith("`") ? inner : inner.replace(/\\(.)/gs, (_, one: string) => ESCAPES[one] ?? one);
}

function quoted(value: string): string {
  return `"${value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n")}"`;
}
