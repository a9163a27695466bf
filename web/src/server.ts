/** Requests to the server that sent this page. */

import type {
  Dashboard, Finding, FindingState, FoundSeries, Matrix, Query, RangeResult, Samples,
} from "./contract";

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
    const asked = { start, end, points, queries };
    return (await this.post<{ results: RangeResult[] }>(`${API}/range`, asked)).results;
  }

  /** Newest first; of a span of time (ms) only those that lie in it. */
  async findings(states: FindingState[], limit: number, span?: [number, number]): Promise<Finding[]> {
    const query = new URLSearchParams({ state: states.join(","), limit: String(limit) });
    if (span) {
      query.set("start", String(Math.round(span[0])));
      query.set("end", String(Math.round(span[1])));
    }
    return (await this.ask<{ findings: Finding[] }>(`${API}/findings?${query}`)).findings;
  }

  finding(id: string): Promise<Finding> {
    return this.ask(`${API}/findings/${encodeURIComponent(id)}`);
  }

  changeFinding(id: string, state: FindingState, note: string): Promise<Finding> {
    return this.post(`${API}/findings/${encodeURIComponent(id)}`, { state, note });
  }

  /** A PromQL query over a range, a value each `step` ms. */
  async promql(query: string, start: number, end: number, step: number): Promise<Matrix> {
    const [from, to, each] = [start, end, step].map((ms) => String(ms / 1000)) as [string, string, string];
    const body = new URLSearchParams({ query, start: from, end: to, step: each });
    const init = { method: "POST", headers: { "x-csrf-token": this.csrf }, body };
    return (await this.ask<{ data: Matrix }>("/api/v1/query_range", init)).data;
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

  private post<T>(path: string, body: unknown): Promise<T> {
    const headers = { "content-type": "application/json", "x-csrf-token": this.csrf };
    return this.ask(path, { method: "POST", headers, body: JSON.stringify(body) });
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
    const problem = (await answer.json()) as { detail?: unknown; error?: unknown };
    // Problem details, or an error as Prometheus writes it.
    const told = problem.detail ?? problem.error;
    if (typeof told === "string") return told;
  }
  return `the server answered ${answer.status}`;
}
