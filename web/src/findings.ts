/** What analysers and detectors have found: kept in step with the server, and what charts mark. */

import type { Filter } from "./address";
import type { Finding, FindingState, Labels, Widget } from "./contract";
import { fits, matchers } from "./selector";
import type { Server } from "./server";

const LIMIT = 200;
/** Changes come in bursts: one request for all of them. */
const GATHER_MS = 400;
const AFTER_FIRST_CHART_MS = 300;
const ACTIVE: FindingState[] = ["open", "acknowledged"];
const ALL: FindingState[] = ["open", "acknowledged", "dismissed", "resolved"];

export type ListState = "loading" | "ready" | "error";

/** Dispatches `change`. */
export class Findings extends EventTarget {
  /** What is open or acknowledged, newest first. */
  active: Finding[] = [];
  /** What is listed under `filter`, newest first. */
  listed: Finding[] = [];
  filter: Filter = "open";
  state: ListState = "loading";
  error = "";
  /** There are more than are shown. */
  truncated = false;
  /** Grows with each change, for those who keep what they derived. */
  version = 0;
  private passed: Finding[] = [];
  private started = false;
  private listing = false;
  private timer = 0;
  private asked = 0;
  private marks = new Map<string, { version: number; found: Finding[] }>();

  constructor(
    private readonly server: Server,
    private readonly span: () => [number, number],
  ) {
    super();
  }

  /** Begin to ask: after what the page is opened for, its charts. */
  start(): void {
    if (this.started) return;
    this.started = true;
    this.soon(this.listing ? 0 : AFTER_FIRST_CHART_MS);
  }

  /** Something has changed on the server, or another range is shown. */
  refresh(): void {
    if (this.started) this.soon(GATHER_MS);
  }

  /** How many nobody has looked at, "200+" where there may be more. */
  get count(): string {
    const open = this.active.filter((one) => one.state === "open").length;
    return open && this.active.length >= LIMIT ? `${open}+` : String(open);
  }

  /** List those of a state, until `unlist`. */
  list(filter: Filter): void {
    if (!this.listing || filter !== this.filter) {
      this.listed = [];
      this.state = "loading";
    }
    this.listing = true;
    this.filter = filter;
    if (this.started) void this.load();
  }

  unlist(): void {
    this.listing = false;
  }

  /** The one with this id, as far as it is known here. */
  known(id: string): Finding | null {
    const at = (some: Finding[]) => some.find((one) => one.id === id);
    return at(this.listed) ?? at(this.active) ?? at(this.passed) ?? null;
  }

  async find(id: string): Promise<Finding> {
    return this.known(id) ?? this.server.finding(id);
  }

  /** Acknowledge, dismiss or open again. Raises what the server said. */
  async change(finding: Finding, state: FindingState, note: string): Promise<Finding> {
    const changed = await this.server.changeFinding(finding.id, state, note);
    const replaced = (some: Finding[]) => some.map((one) => (one.id === changed.id ? changed : one));
    this.active = replaced(this.active).filter((one) => ACTIVE.includes(one.state));
    this.passed = replaced(this.passed).filter((one) => one.state === "resolved");
    const { filter } = this;
    this.listed = replaced(this.listed).filter((one) => filter === "all" || one.state === filter);
    this.changed();
    this.refresh();
    return changed;
  }

  /** Those about series that a chart shows, whatever their time; not what was fine. */
  of(widget: Widget): Finding[] {
    const kept = this.marks.get(widget.id);
    if (kept?.version === this.version) return kept.found;
    const found = [...this.active, ...this.passed].filter(({ labels }) => shows(widget, labels));
    this.marks.set(widget.id, { version: this.version, found });
    return found;
  }

  private soon(wait: number): void {
    if (this.timer) return;
    this.timer = window.setTimeout(() => {
      this.timer = 0;
      // A hidden page asks when it is seen again.
      if (!document.hidden) void this.load();
    }, wait);
  }

  private async load(): Promise<void> {
    const asked = (this.asked += 1);
    const { filter, listing } = this;
    try {
      const [active, passed, listed] = await Promise.all([
        this.server.findings(ACTIVE, LIMIT),
        this.server.findings(["resolved"], LIMIT, this.span()),
        listing ? this.server.findings(filter === "all" ? ALL : [filter], LIMIT) : [],
      ]);
      if (asked !== this.asked) return;
      [this.active, this.passed] = [active, passed];
      if (listing) this.listed = listed;
      this.truncated = listed.length >= LIMIT;
      this.state = "ready";
      this.error = "";
    } catch (error) {
      if (asked !== this.asked) return;
      this.state = "error";
      this.error = error instanceof Error ? error.message : String(error);
    }
    this.changed();
  }

  private changed(): void {
    this.version += 1;
    this.dispatchEvent(new Event("change"));
  }
}

/** Whether a widget draws this series; labels without a name are a group's. */
export function shows(widget: Widget, labels: Labels): boolean {
  if (!labels.__name__) return false;
  return widget.queries.some(({ match }) =>
    match.some((selector) => {
      const wanted = matchers(selector);
      return wanted !== null && fits(wanted, labels);
    }),
  );
}

/** Whether a finding's span touches [from, to]. */
export function touches(finding: Finding, from: number, to: number): boolean {
  return finding.start_ms <= to && finding.end_ms >= from;
}
