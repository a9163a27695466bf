/** Requests to the server that sent this page. */

import type { Dashboard, FoundSeries, Query, RangeResult, Samples } from "./contract";

const API = "/api/barograph/v1";
const TIMEOUT_MS = 15_000;

/** A refused or failed request, in words for the person who looks at the page. */
export class ServerError extends Error {
  constructor(
    message: string,
    readonly status: number,
  ) {
    super(message);
  }
}

export class Server {
  private csrf = "";

  async dashboard(): Promise<Dashboard> {
    const found = await this.ask<Dashboard>(`${API}/dashboard`);
    this.csrf = found.csrf;
    return found;
  }

  /** Answers in the order of `queries`; a query that fails has `error` and spoils no other. */
  async range(
    queries: Query[],
    start: number,
    end: number,
    points: number,
  ): Promise<RangeResult[]> {
    const body = JSON.stringify({ start, end, points, queries });
    const headers = { "content-type": "application/json", "x-csrf-token": this.csrf };
    const found = await this.ask<{ results: RangeResult[] }>(`${API}/range`, {
      method: "POST",
      headers,
      body,
    });
    return found.results;
  }

  async series(match: string[], start: number, end: number): Promise<FoundSeries[]> {
    const query = new URLSearchParams(match.map((text) => ["match", text]));
    query.set("start", String(start));
    query.set("end", String(end));
    query.set("limit", "200");
    return (await this.ask<{ series: FoundSeries[] }>(`${API}/series?${query}`)).series;
  }

  samples(ref: number, start: number, end: number, limit: number): Promise<Samples> {
    return this.ask(`${API}/samples?ref=${ref}&start=${start}&end=${end}&limit=${limit}`);
  }

  /** Data of a widget whose kind is a plugin's own. */
  widget(id: string, start: number, end: number, points: number): Promise<unknown> {
    const query = new URLSearchParams({ id });
    return this.ask(`${API}/widget?${query}&start=${start}&end=${end}&points=${points}`);
  }

  private async ask<T>(path: string, init: RequestInit = {}): Promise<T> {
    let answer: Response;
    try {
      answer = await fetch(path, { ...init, signal: AbortSignal.timeout(TIMEOUT_MS) });
    } catch (error) {
      const late = error instanceof DOMException && error.name === "TimeoutError";
      throw new ServerError(late ? "no answer within 15 s" : "the server cannot be reached", 0);
    }
    if (!answer.ok) throw new ServerError(await detail(answer), answer.status);
    return (await answer.json()) as T;
  }
}

async function detail(answer: Response): Promise<string> {
  if (answer.headers.get("content-type")?.includes("json")) {
    const problem = (await answer.json()) as { detail?: unknown };
    if (typeof problem.detail === "string") return problem.detail;
  }
  return `the server answered ${answer.status}`;
}
