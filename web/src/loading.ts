/** Loads panels over a range: many in one request, and a bad query spoils none but its own. */

import type { RangeResult } from "./contract";
import type { Panel } from "./panel";
import { type Server, ServerError } from "./server";

const POINTS = 450;
const DETAIL_POINTS = 900;
const QUERIES_A_REQUEST = 24;

export interface Outcome {
  /** Whether the answer is still of use; another range may be shown by now. */
  wanted(): boolean;
  /** For each panel the answers to its queries. */
  filled(panels: Panel[], answers: RangeResult[][]): void;
  failed(panels: Panel[], error: unknown): void;
}

/** Panels of a plugin's own kind are skipped: their elements ask for themselves. */
export function load(
  server: Server,
  panels: Panel[],
  from: number,
  to: number,
  outcome: Outcome,
): void {
  const own = panels.filter((panel) => panel.widget.queries.length && !panel.widget.module);
  const details = own.filter((panel) => panel.detail);
  const cards = own.filter((panel) => !panel.detail);
  for (const batch of batches(cards)) void request(server, batch, from, to, POINTS, outcome);
  for (const batch of batches(details)) {
    void request(server, batch, from, to, DETAIL_POINTS, outcome);
  }
}

function batches(panels: Panel[]): Panel[][] {
  const out: Panel[][] = [];
  let room = 0;
  for (const panel of panels) {
    const need = panel.widget.queries.length;
    if (need > room || !out.length) {
      out.push([]);
      room = QUERIES_A_REQUEST;
    }
    out[out.length - 1]!.push(panel);
    room -= need;
  }
  return out;
}

async function request(
  server: Server,
  panels: Panel[],
  from: number,
  to: number,
  points: number,
  outcome: Outcome,
): Promise<void> {
  const queries = panels.flatMap((panel) => panel.widget.queries);
  try {
    const results = await server.range(queries, from, to, points);
    if (!outcome.wanted()) return;
    let at = 0;
    const answers = panels.map((panel) => results.slice(at, (at += panel.widget.queries.length)));
    outcome.filled(panels, answers);
  } catch (error) {
    if (!outcome.wanted()) return;
    if (error instanceof ServerError && error.status === 400 && panels.length > 1) {
      // The answer does not say whose query was bad: ask for each alone.
      for (const panel of panels) void request(server, [panel], from, to, points, outcome);
      return;
    }
    outcome.failed(panels, error);
  }
}
