/** The page's address: everything that a link must bring back. Pure functions. */

import type { FindingState } from "./contract";
import { LIVE, PRESETS, type Range, between, recent } from "./range";

export type Pairs = [label: string, value: string][];

/**
 * An open drill-down: a widget, the label it is split by, what it is narrowed to, the labels of the
 * line whose raw samples are shown, and which of several raw series.
 */
export interface View {
  widget: string;
  by: string;
  where: Pairs;
  line: Pairs | null;
  ref: number | null;
}

/** The list of findings: which of them, and which one is open ("" for none). */
export interface FindingsView {
  filter: Filter;
  id: string;
}

export type Filter = FindingState | "all";
export const FILTERS: Filter[] = ["open", "acknowledged", "dismissed", "resolved", "all"];

export interface Address {
  range: Range;
  utc: boolean;
  filter: string;
  view: View | null;
  findings: FindingsView | null;
}

export function read(search: string): Address {
  const query = new URLSearchParams(search);
  const widget = query.get("view");
  const ref = Number(query.get("ref"));
  return {
    range: readRange(query),
    utc: query.get("tz") === "utc",
    filter: query.get("filter") ?? "",
    view: widget
      ? {
          widget,
          by: query.get("by") ?? "",
          where: pairs(query.getAll("where")),
          line: query.has("line") ? pairs(query.getAll("line")) : null,
          ref: Number.isInteger(ref) && ref > 0 ? ref : null,
        }
      : null,
    findings: readFindings(query),
  };
}

export function write(address: Address): string {
  const query = new URLSearchParams();
  const { range, view, findings } = address;
  if (range.kind === "between") {
    query.set("from", new Date(range.from).toISOString());
    query.set("to", new Date(range.to).toISOString());
  } else if (range.name !== "live") {
    query.set("range", range.name);
  }
  if (address.utc) query.set("tz", "utc");
  if (address.filter) query.set("filter", address.filter);
  if (view) {
    query.set("view", view.widget);
    if (view.by) query.set("by", view.by);
    for (const [label, value] of view.where) query.append("where", `${label}:${value}`);
    // A line without labels is still a line.
    if (view.line && !view.line.length) query.append("line", "");
    for (const [label, value] of view.line ?? []) query.append("line", `${label}:${value}`);
    if (view.ref !== null) query.set("ref", String(view.ref));
  }
  if (findings) {
    if (findings.filter !== "open" || !findings.id) query.set("findings", findings.filter);
    if (findings.id) query.set("finding", findings.id);
  }
  const text = query.toString().replaceAll("%3A", ":");
  return text ? `/?${text}` : "/";
}

function readFindings(query: URLSearchParams): FindingsView | null {
  const id = query.get("finding") ?? "";
  const named = query.get("findings");
  if (!id && named === null) return null;
  return { id, filter: FILTERS.find((one) => one === named) ?? "open" };
}

function readRange(query: URLSearchParams): Range {
  const from = instant(query.get("from"));
  const to = instant(query.get("to"));
  if (from !== null && to !== null && from !== to) return between(from, to);
  const name = query.get("range");
  return PRESETS.some((preset) => preset.name === name) ? recent(name!) : LIVE;
}

/** ISO 8601, or milliseconds since the epoch. */
function instant(text: string | null): number | null {
  if (!text) return null;
  const time = /^\d{10,}$/.test(text) ? Number(text) : Date.parse(text);
  return Number.isFinite(time) ? time : null;
}

function pairs(texts: string[]): Pairs {
  return texts
    .map((text): [string, string] => {
      const at = text.indexOf(":");
      return [text.slice(0, Math.max(at, 0)), text.slice(at + 1)];
    })
    .filter(([label]) => label !== "");
}
