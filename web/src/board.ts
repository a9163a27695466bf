/** What the page shows: the range, the panels that are seen, and where their data come from. */

import { type Address, type Filter, type FindingsView, type View, read, write } from "./address";
import { Connection, type LinkState, type LiveTick } from "./connection";
import type { Dashboard, Problem, Query, Section, Widget } from "./contract";
import { Findings } from "./findings";
import { load } from "./loading";
import { Panel } from "./panel";
import { LIVE, type Range, between, bounds, moved, recent, same, zoomed } from "./range";
import { SCORES, Scores } from "./scores";
import { drilled } from "./selector";
import { Server, ServerError } from "./server";
import { Theme } from "./theme";

const FIRST_WIDGETS = 10;
const SCORE_POINTS = 60;
const FINDINGS_LATEST_MS = 2000;
const MISSED = -1;
const SETTLE_MS = 80;
const SLOW_NOTICE_MS = 10_000;
const SKIPPED_TO_TELL = 3;
const REFRESH_DASHBOARD_MS = 15_000;

/** Dispatches `change` when anything but the data of a panel changes. */
export class Board extends EventTarget {
  readonly server = new Server();
  readonly theme = new Theme();
  readonly findings = new Findings(this.server, () => this.window);
  readonly scores = new Scores();
  dashboard: Dashboard | null = null;
  failure = "";
  signedOut = false;
  address: Address = read(location.search);
  paused = false;
  /** The right edge of recent ranges: the server's time of the newest data (ms). */
  edge = 0;
  link: LinkState = "connecting";
  lostAt = 0;
  fewerPoints = false;
  readonly connection: Connection;
  private readonly panels = new Map<string, Panel>();
  private readonly seen = new Set<Panel>();
  private readonly dismissed = new Set<string>();
  private offset = 0;
  private generation = 0;
  private loading = 0;
  private subscribing = 0;
  private slowTimer = 0;
  private skipped = 0;

  constructor() {
    super();
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    this.connection = new Connection(`${scheme}//${location.host}/api/barograph/v1/live`, {
      state: (state) => this.linkChanged(state),
      tick: (tick) => this.tick(tick),
      findings: () => this.findings.refresh(),
      refused: (detail) => console.warn("the server refused a subscription:", detail),
    });
    addEventListener("popstate", () => this.apply(read(location.search)));
    document.addEventListener("visibilitychange", () => {
      this.resubscribe();
      if (document.hidden) return;
      this.catchUp();
      this.findings.refresh();
    });
    this.theme.addEventListener("change", () => this.changed());
    this.findings.addEventListener("change", () => {
      this.changed();
      for (const panel of this.seen) panel.changed();
    });
  }

  async start(): Promise<void> {
    await this.loadDashboard();
    this.connection.start();
    setInterval(() => {
      if (!document.hidden && this.link === "open") void this.loadDashboard();
    }, REFRESH_DASHBOARD_MS);
  }

  /** Ask for the sections again; what is shown stays if nothing has changed. */
  async loadDashboard(): Promise<void> {
    try {
      const found = await this.server.dashboard();
      this.offset = found.now_ms - Date.now();
      if (!this.edge) this.edge = found.now_ms;
      const before = this.dashboard;
      const kept = before && JSON.stringify(before.sections) === JSON.stringify(found.sections);
      this.dashboard = kept ? { ...found, sections: before.sections } : found;
      this.failure = "";
      this.signedOut = false;
      if (!kept) this.scores.prepare(found);
      if (!before) {
        this.loadFirst();
        // Where no chart comes, findings do.
        setTimeout(() => this.findings.start(), FINDINGS_LATEST_MS);
      }
    } catch (error) {
      this.signedOut = error instanceof ServerError && error.status === 401;
      this.failure = message(error);
    }
    this.changed();
  }

  // --- what is shown --------------------------------------------------------------------------

  get range(): Range {
    return this.address.range;
  }

  get utc(): boolean {
    return this.address.utc;
  }

  /** Whether new data move the page. */
  get live(): boolean {
    return this.range.kind === "recent" && !this.paused;
  }

  get interval(): number {
    return this.dashboard?.interval_ms ?? 1000;
  }

  get problems(): Problem[] {
    return (this.dashboard?.problems ?? []).filter((p) => !this.dismissed.has(nameOf(p)));
  }

  dismiss(problem: Problem): void {
    this.dismissed.add(nameOf(problem));
    this.changed();
  }

  /** The server's clock (ms). */
  get serverNow(): number {
    return Date.now() + this.offset;
  }

  /** [from, to] that charts show. */
  get window(): [number, number] {
    return bounds(this.range, this.edge);
  }

  /** Sections with the widgets that fit the filter, all its words in title, help, section or id. */
  get sections(): Section[] {
    const words = this.address.filter.toLowerCase().split(/\s+/).filter(Boolean);
    const fits = (widget: Widget) => {
      const text = `${widget.title} ${widget.help} ${widget.section} ${widget.id}`.toLowerCase();
      return words.every((word) => text.includes(word));
    };
    return (this.dashboard?.sections ?? [])
      .map((section) => ({ ...section, widgets: section.widgets.filter(fits) }))
      .filter((section) => section.widgets.length);
  }

  widget(id: string): Widget | null {
    for (const section of this.dashboard?.sections ?? []) {
      const found = section.widgets.find((widget) => widget.id === id);
      if (found) return found;
    }
    return null;
  }

  setRange(range: Range): void {
    if (same(range, this.range) && !this.paused) return;
    this.paused = false;
    this.go({ range });
  }

  zoomTo(from: number, to: number): void {
    this.setRange(between(from, to));
  }

  zoomBy(factor: number): void {
    this.setRange(zoomed(this.range, factor, this.serverNow));
  }

  moveBy(part: number): void {
    this.setRange(moved(this.range, part, this.serverNow));
  }

  /** Undo a zoom: the range before it, or live if the page was opened zoomed. */
  zoomBack(): void {
    if (this.range.kind === "recent") return;
    const depth = (history.state as { depth?: number } | null)?.depth ?? 0;
    if (depth > 0) history.back();
    else this.setRange(LIVE);
  }

  goLive(): void {
    this.setRange(recent("live"));
  }

  open(view: View | null): void {
    this.go({ view });
  }

  /** Leave the drill-down by one step. */
  closeView(): void {
    const depth = (history.state as { depth?: number } | null)?.depth ?? 0;
    if (depth > 0) history.back();
    else this.go({ view: null });
  }

  /** Show the list of findings, or one of them. */
  openFindings(filter: Filter, id = ""): void {
    this.go({ findings: { filter, id } });
  }

  linkTo(findings: FindingsView): string {
    return write({ ...this.address, findings });
  }

  closeFindings(): void {
    this.go({ findings: null });
  }

  setFilter(filter: string): void {
    this.go({ filter }, false);
  }

  setUtc(utc: boolean): void {
    this.go({ utc }, false);
  }

  pause(paused: boolean): void {
    this.paused = paused;
    if (!paused) {
      this.edge = this.serverNow;
      this.reload();
    }
    this.resubscribe();
    this.changed();
  }

  private go(part: Partial<Address>, push = true): void {
    const next = { ...this.address, ...part };
    const depth = (history.state as { depth?: number } | null)?.depth ?? 0;
    if (push) history.pushState({ depth: depth + 1 }, "", write(next));
    else history.replaceState({ depth }, "", write(next));
    this.apply(next);
  }

  private apply(next: Address): void {
    const elsewhere = !same(next.range, this.range);
    this.address = next;
    if (elsewhere) {
      this.paused = false;
      this.edge = this.serverNow;
      this.reload();
      this.resubscribe();
      this.findings.refresh();
    }
    this.changed();
    for (const panel of this.seen) panel.changed();
  }

  private changed(): void {
    this.dispatchEvent(new Event("change"));
  }

  // --- panels ---------------------------------------------------------------------------------

  /** The panel of a widget, the same for each who asks. */
  panel(widget: Widget): Panel {
    return this.keep(widget.id, widget);
  }

  /** The panel of a drill-down; forget it with `forget`. */
  detail(widget: Widget, view: View): Panel {
    const id = `detail:${JSON.stringify([view.widget, view.by, view.where])}`;
    return this.keep(id, drilled(widget, view.by, view.where), true);
  }

  forget(panel: Panel): void {
    this.seen.delete(panel);
    this.panels.delete(panel.id);
    this.resubscribe();
  }

  /** A panel came into sight: it is loaded and gets live data, until `hide`. */
  show(panel: Panel): void {
    this.seen.add(panel);
    this.reloadStale();
    this.resubscribe();
  }

  hide(panel: Panel): void {
    if (!this.seen.delete(panel)) return;
    if (this.live) panel.generation = MISSED;
    this.resubscribe();
  }

  /** Load a panel again after an error. */
  again(panel: Panel): void {
    panel.state = "loading";
    panel.generation = MISSED;
    panel.changed();
    this.reloadStale();
  }

  /** Ask for what is at the top while the page is still being built: the first chart comes sooner. */
  private loadFirst(): void {
    const { view } = this.address;
    const widget = view ? this.widget(view.widget) : null;
    if (view) {
      if (widget) this.load([this.detail(widget, view)]);
      return;
    }
    const widgets = this.sections.flatMap((section) => section.widgets);
    this.load(widgets.slice(0, FIRST_WIDGETS).map((one) => this.panel(one)));
  }

  private keep(id: string, widget: Widget, detail = false): Panel {
    let panel = this.panels.get(id);
    if (!panel) {
      panel = new Panel(id, widget, detail);
      this.panels.set(id, panel);
    }
    return panel;
  }

  /** Load what was missed while no ticks came. */
  private catchUp(): void {
    if (!this.live) return;
    for (const panel of this.seen) panel.generation = MISSED;
    this.reloadStale();
  }

  private reload(): void {
    this.generation += 1;
    if (!this.live) void this.loadScores();
    this.reloadStale();
  }

  /** A range that does not move shows its highest scores; live ones come with the ticks. */
  private async loadScores(): Promise<void> {
    const { generation } = this;
    const { query } = this.scores;
    if (!query) return;
    this.scores.clear();
    const [from, to] = this.window.map(Math.round) as [number, number];
    try {
      const [found] = await this.server.range([query], from, to, SCORE_POINTS);
      if (generation !== this.generation || !found || found.error) return;
      this.scores.fill(found);
      this.changed();
    } catch (error) {
      console.warn("the anomaly scores of this range could not be loaded:", message(error));
    }
  }

  /** Load what is seen and is of another range, or was told to have missed ticks. */
  private reloadStale(): void {
    if (this.loading) return;
    this.loading = window.setTimeout(() => {
      this.loading = 0;
      const stale = [...this.seen].filter((panel) => panel.generation !== this.generation);
      if (stale.length) this.load(stale);
    }, 0);
  }

  private load(panels: Panel[]): void {
    const { generation } = this;
    const end = this.range.kind === "recent" ? (this.paused ? this.edge : this.serverNow) : 0;
    const [from, to] = bounds(this.range, Math.round(end));
    for (const panel of panels) panel.generation = generation;
    load(this.server, panels, from, to, {
      wanted: () => generation === this.generation,
      filled: (some, answers) => {
        if (this.live && to > this.edge) this.edge = to;
        const open = this.range.kind === "recent";
        some.forEach((panel, i) => panel.fill(answers[i]!, to, this.interval, open));
        this.resubscribe();
        this.findings.start();
      },
      failed: (some, error) => this.failed(some, error),
    });
  }

  private failed(panels: Panel[], error: unknown): void {
    this.findings.start();
    if (error instanceof ServerError && error.status === 401) {
      this.signedOut = true;
      this.changed();
    }
    for (const panel of panels) {
      // What is drawn already stays; it is grey while the connection is lost.
      if (panel.state === "ready" && this.link !== "open") panel.generation = MISSED;
      else panel.fail(message(error));
    }
    this.resubscribe();
  }

  // --- live -----------------------------------------------------------------------------------

  private resubscribe(): void {
    clearTimeout(this.subscribing);
    this.subscribing = window.setTimeout(() => {
      const wanted = this.live && !document.hidden ? [...this.seen] : [];
      const panels = wanted
        .filter((panel) => !panel.widget.module && panel.state !== "error")
        .flatMap((panel) =>
          panel.widget.queries.map((query: Query, i) => ({ id: `${panel.id}#${i}`, query })),
        );
      const { query } = this.scores;
      if (panels.length && query) panels.push({ id: SCORES, query });
      this.connection.subscribe(panels);
    }, SETTLE_MS);
  }

  private tick(tick: LiveTick): void {
    if (!this.live) return;
    if (tick.skipped > 0) this.slow(tick.skipped);
    this.edge = Math.max(tick.t, this.edge);
    this.scores.follow(tick);
    const [from] = this.window;
    for (const panel of this.seen) {
      const parts = panel.widget.queries.map((_, i) => ({
        lines: tick.lines.get(`${panel.id}#${i}`) ?? [],
        values: tick.values[`${panel.id}#${i}`] ?? [],
      }));
      const told = panel.widget.queries.some((_, i) => `${panel.id}#${i}` in tick.values);
      if (told && panel.generation === this.generation) panel.fold(tick.t, from, parts);
      else if (panel.widget.module) panel.changed();
    }
    this.dispatchEvent(new Event("tick"));
  }

  /** One tick that is left out is no news; several in a row are. */
  private slow(skipped: number): void {
    this.skipped += skipped;
    clearTimeout(this.slowTimer);
    this.slowTimer = window.setTimeout(() => {
      this.skipped = 0;
      this.fewerPoints = false;
      this.changed();
    }, SLOW_NOTICE_MS);
    if (!this.fewerPoints && this.skipped >= SKIPPED_TO_TELL) {
      this.fewerPoints = true;
      this.changed();
    }
  }

  private linkChanged(state: LinkState): void {
    const before = this.link;
    this.link = state;
    if (state === "lost" && before !== "lost") this.lostAt = Date.now();
    if (state === "lost" && before === "lost") void this.askWhy();
    if (state === "open") {
      this.resubscribe();
      if (before === "lost") {
        void this.loadDashboard();
        this.catchUp();
        this.findings.refresh();
      }
    }
    this.changed();
  }

  /** A refused WebSocket does not say why; a request does: perhaps the session has ended. */
  private async askWhy(): Promise<void> {
    if (!this.signedOut) await this.loadDashboard();
  }
}

function nameOf(problem: Problem): string {
  return `${problem.where}\n${problem.what}`;
}

function message(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
