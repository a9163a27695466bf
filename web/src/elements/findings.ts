/** The findings beside the charts: a list by state, or one of them with its evidence. */

import { LitElement, type PropertyValues, type TemplateResult, css, html, nothing } from "lit";
import { customElement, property, query, state } from "lit/decorators.js";
import { repeat } from "lit/directives/repeat.js";

import { FILTERS, type Filter, type FindingsView } from "../address";
import type { Board } from "../board";
import type { Finding, FindingState } from "../contract";
import { length, whenText } from "../timetext";
import { controls, icons } from "./controls";
import "./finding";
import { changes, kindText, timesText } from "./finding-words";
import { severity, severityStyles } from "./severity";
import { Watching } from "./watching";

const AGES_MS = 15_000;
const UNDONE = "Undone";

const EMPTY: Record<Filter, string> = {
  open: "No open findings. What is unusual shows up here by itself.",
  acknowledged: "No acknowledged findings. Acknowledging one says that somebody looks into it.",
  dismissed: "No dismissed findings. Dismissing one says that it was fine; detectors learn from it.",
  resolved: "No resolved findings. What has ended by itself is kept here.",
  all: "No findings yet. What is unusual shows up here by itself.",
};

/** Dispatches `closed` when it has been closed from within. */
@customElement("barograph-findings")
export class FindingsElement extends LitElement {
  @property({ attribute: false }) board!: Board;
  @property({ attribute: false }) view!: FindingsView;
  /** What was done last, and how to undo it. */
  @state() private done: { finding: Finding; from: FindingState; words: string } | null = null;
  @state() private failure = "";
  @state() private busy = "";
  @query("h2") private heading!: HTMLElement;
  private timer = 0;
  private left = "";

  static styles = [
    controls,
    severityStyles,
    css`
      :host {
        position: fixed;
        top: var(--bar, 51px);
        right: 0;
        bottom: 0;
        z-index: 9;
        display: flex;
        flex-direction: column;
        width: 500px;
        background: var(--ground);
        border-left: 1px solid var(--line-strong);
      }
      header {
        display: flex;
        flex-wrap: wrap;
        align-items: center;
        gap: 8px;
        padding: 12px 16px 10px;
        border-bottom: 1px solid var(--line);
      }
      h2 {
        flex: 1;
        margin: 0;
        font-size: 17px;
        font-weight: 650;
      }
      h2:focus {
        outline: none;
      }
      .filters {
        display: flex;
        flex-wrap: wrap;
        gap: 4px;
        width: 100%;
      }
      .filters .button {
        min-height: 28px;
        padding: 0 9px;
        font-size: 13px;
      }
      .body {
        flex: 1;
        overflow-y: auto;
        overscroll-behavior: contain;
        padding: 12px 16px 24px;
      }
      ul {
        display: flex;
        flex-direction: column;
        gap: 10px;
        margin: 0;
        padding: 0;
        list-style: none;
      }
      li {
        padding: 10px 12px 10px;
        background: var(--card);
        border: 1px solid var(--line);
        border-left: 4px solid var(--accent);
        border-radius: var(--radius);
        box-shadow: var(--shadow);
      }
      li.warning {
        border-left-color: var(--warn);
      }
      li.critical {
        border-left-color: var(--bad);
      }
      li.quiet {
        border-left-color: var(--line-strong);
      }
      .facts {
        display: flex;
        flex-wrap: wrap;
        align-items: center;
        gap: 2px 10px;
        color: var(--soft);
        font-size: 12px;
        font-variant-numeric: tabular-nums;
      }
      .facts .age {
        margin-left: auto;
      }
      .state {
        padding: 0 7px;
        border: 1px solid var(--line-strong);
        border-radius: 99px;
      }
      a.title {
        display: block;
        min-height: 24px;
        padding: 3px 0;
        color: inherit;
        font-weight: 600;
        text-decoration: none;
        unicode-bidi: isolate;
        overflow-wrap: anywhere;
      }
      a.title:hover {
        color: var(--accent);
        text-decoration: underline;
      }
      li p {
        display: -webkit-box;
        margin: 0 0 6px;
        color: var(--soft);
        font-size: 13px;
        overflow: hidden;
        overflow-wrap: anywhere;
        unicode-bidi: isolate;
        -webkit-box-orient: vertical;
        -webkit-line-clamp: 2;
      }
      .acts {
        display: flex;
        flex-wrap: wrap;
        gap: 6px;
        margin-top: 8px;
      }
      .acts .button {
        min-height: 28px;
        font-size: 13px;
      }
      .said {
        margin: 40px auto;
        max-width: 40ch;
        color: var(--soft);
        text-align: center;
      }
      .error {
        color: var(--bad);
        overflow-wrap: anywhere;
      }
      .done {
        display: flex;
        align-items: center;
        gap: 10px;
        padding: 8px 16px;
        border-top: 1px solid var(--line);
        background: var(--raised);
        font-size: 13px;
      }
      .done p {
        flex: 1;
        min-width: 0;
        margin: 0;
        overflow: hidden;
        text-overflow: ellipsis;
        white-space: nowrap;
      }
      .ghost {
        height: 96px;
        margin-bottom: 10px;
        border-radius: var(--radius);
        background: var(--card);
        border: 1px solid var(--line);
      }
      @media (max-width: 1099px) {
        :host {
          box-shadow: var(--shadow-high);
        }
      }
      @media (max-width: 640px) {
        :host {
          top: 0;
          z-index: 20;
          width: 100%;
          border: 0;
        }
        header,
        .body,
        .done {
          padding-left: 12px;
          padding-right: 12px;
        }
      }
    `,
  ];

  constructor() {
    super();
    new Watching(this);
  }

  connectedCallback(): void {
    super.connectedCallback();
    this.timer = window.setInterval(() => this.requestUpdate(), AGES_MS);
  }

  disconnectedCallback(): void {
    super.disconnectedCallback();
    clearInterval(this.timer);
    this.board.findings.unlist();
    this.dispatchEvent(new Event("closed"));
  }

  protected willUpdate(changed: PropertyValues<this>): void {
    if (!changed.has("view")) return;
    const before = changed.get("view");
    if (!before || before.filter !== this.view.filter) this.board.findings.list(this.view.filter);
    if (before && before.filter !== this.view.filter) this.done = null;
    if (before?.id && !this.view.id) this.left = before.id;
  }

  protected updated(changed: PropertyValues<this>): void {
    if (!changed.has("view")) return;
    const before = changed.get("view");
    // The focus goes along: into the drawer, and back to where one came from.
    if (!before && !this.view.id) this.heading.focus();
    if (this.left) {
      const title = this.renderRoot.querySelector<HTMLElement>(`[data-id="${CSS.escape(this.left)}"]`);
      (title ?? this.heading).focus();
      this.left = "";
    }
  }

  render(): TemplateResult {
    const { board, view, done } = this;
    return html`<header>
        ${view.id
          ? html`<button class="button" @click=${() => board.openFindings(view.filter)}>
              ${icons.back}All
            </button>`
          : nothing}
        <h2 tabindex="-1" id="heading">${view.id ? "Finding" : "Findings"}</h2>
        <button class="button bare icon" aria-label="Close the findings" title="Close (Esc)"
          @click=${() => board.closeFindings()}>
          ${icons.close}
        </button>
        ${view.id ? nothing : this.filters()}
      </header>
      <div class="body" role="region" aria-labelledby="heading">
        ${view.id
          ? html`<barograph-finding .board=${board} .which=${view.id}></barograph-finding>`
          : this.list()}
      </div>
      ${this.failure ? html`<p class="error done" role="alert">${this.failure}</p>` : nothing}
      <div role="status">
        ${done && !view.id
          ? html`<div class="done">
              <p>${done.words}: ${done.finding.title}</p>
              <button class="button" ?disabled=${this.busy !== ""}
                @click=${() => void this.change(done.finding, done.from, UNDONE)}>Undo</button>
              <button class="button bare icon" aria-label="Hide this message"
                @click=${() => (this.done = null)}>${icons.close}</button>
            </div>`
          : nothing}
      </div>`;
  }

  private filters(): TemplateResult {
    const { board, view } = this;
    const open = board.findings.count;
    return html`<div class="filters" role="group" aria-label="Show">
      ${FILTERS.map(
        (one) => html`<button class="button ${one === view.filter ? "on" : ""}"
          aria-pressed=${one === view.filter} @click=${() => board.openFindings(one)}>
          ${one[0]!.toUpperCase() + one.slice(1)}${one === "open" && open !== "0" ? ` ${open}` : ""}
        </button>`,
      )}
    </div>`;
  }

  private list(): TemplateResult {
    const { findings } = this.board;
    if (findings.state === "error" && !findings.listed.length) {
      return html`<div class="said" role="alert">
        <p class="error">The findings could not be loaded: ${findings.error}.</p>
        <button class="button" @click=${() => findings.list(this.view.filter)}>Try again</button>
      </div>`;
    }
    if (findings.state === "loading") {
      return html`<div role="status" aria-label="Loading">
        ${Array.from({ length: 3 }, () => html`<div class="ghost"></div>`)}
      </div>`;
    }
    if (!findings.listed.length) return html`<p class="said">${EMPTY[this.view.filter]}</p>`;
    return html`<ul>
        ${repeat(findings.listed, (one) => one.id, (one) => this.item(one))}
      </ul>
      ${findings.truncated
        ? html`<p class="said">The newest ${findings.listed.length} are shown.</p>`
        : nothing}`;
  }

  private item(one: Finding): TemplateResult {
    const { board, view } = this;
    const quiet = one.state === "dismissed" || one.state === "resolved";
    const age = length(Math.max(0, board.serverNow - one.last_ms));
    return html`<li class=${quiet ? "quiet" : one.severity}>
      <div class="facts">
        ${severity(one.severity)}<span>${kindText(one.kind)}</span>
        ${one.state === "open" ? nothing : html`<span class="state">${one.state}</span>`}
        <span class="age">${age} ago</span>
      </div>
      <a class="title" data-id=${one.id} href=${board.linkTo({ filter: view.filter, id: one.id })}
        @click=${(event: MouseEvent) => this.open(event, one)}>${one.title}</a>
      <p>${one.text}</p>
      <div class="facts">
        <span>${whenText(one.start_ms, one.end_ms, board.utc)}</span>
        <span>${timesText(one)}</span>
      </div>
      <div class="acts">
        ${changes(one.state).map(
          ({ to, label, words, title }) => html`<button class="button" title=${title}
            ?disabled=${this.busy === one.id}
            aria-label="${label}: ${one.title}"
            @click=${() => void this.change(one, to, words)}>${label}</button>`,
        )}
      </div>
    </li>`;
  }

  private open(event: MouseEvent, one: Finding): void {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    this.board.openFindings(this.view.filter, one.id);
  }

  private async change(finding: Finding, to: FindingState, words: string): Promise<void> {
    this.busy = finding.id;
    this.failure = "";
    try {
      await this.board.findings.change(finding, to, "");
      const undoable = words !== UNDONE && changes(to).some((one) => one.to === finding.state);
      this.done = undoable ? { finding: { ...finding, state: to }, from: finding.state, words } : null;
      await this.updateComplete;
      if (!this.renderRoot.contains(this.shadowRoot?.activeElement ?? null)) this.heading.focus();
    } catch (error) {
      this.failure = `Nothing has changed: ${error instanceof Error ? error.message : String(error)}`;
    } finally {
      this.busy = "";
    }
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "barograph-findings": FindingsElement;
  }
}
