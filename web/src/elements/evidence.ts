/** A chart of a finding's evidence over its range, with the finding's span marked, and its query. */

import { LitElement, type PropertyValues, type TemplateResult, css, html, nothing } from "lit";
import { customElement, property, query, state } from "lit/decorators.js";

import type { Board } from "../board";
import type { Evidence, Finding } from "../contract";
import { loadEvidence, panelOf, shownRange } from "../evidence";
import type { Mark } from "../marks";
import type { Panel } from "../panel";
import { between } from "../range";
import { spanText } from "../timetext";
import { format } from "../units";
import { controls, icons } from "./controls";
import "./plot";
import { Sight } from "./sight";
import { swatch } from "./swatch";
import { Watching } from "./watching";

@customElement("barograph-evidence")
export class EvidenceElement extends LitElement {
  @property({ attribute: false }) board!: Board;
  @property({ attribute: false }) finding!: Finding;
  @property({ attribute: false }) evidence!: Evidence;
  @state() private index: number | null = null;
  @state() private said = "";
  @query("code") private code!: HTMLElement;
  private panel: Panel | null = null;
  private own: readonly [number, number] = [0, 0];
  private marks: readonly Mark[] = [];
  private shown = "";
  private unlisten: (() => void) | null = null;
  private stale = false;
  /** There may be dozens: each is asked for when it comes into sight. */
  private readonly sight = new Sight(this, () => void this.load());

  static styles = [
    controls,
    css`
      :host {
        display: block;
        margin-bottom: 12px;
        padding: 10px 12px;
        background: var(--card);
        border: 1px solid var(--line);
        border-radius: var(--radius);
      }
      .note {
        margin: 0 0 4px;
        font-size: 13px;
        overflow-wrap: anywhere;
        unicode-bidi: isolate;
      }
      .span {
        margin: 0 0 6px;
        color: var(--soft);
        font-size: 12px;
        font-variant-numeric: tabular-nums;
      }
      ul {
        margin: 4px 0 0;
        padding: 0;
        list-style: none;
        font-size: 12px;
      }
      li {
        display: flex;
        align-items: center;
        gap: 6px;
        min-height: 20px;
      }
      li .name {
        color: var(--soft);
        overflow: hidden;
        text-overflow: ellipsis;
        white-space: nowrap;
        unicode-bidi: isolate;
      }
      li .value {
        margin-left: auto;
        font-weight: 600;
        font-variant-numeric: tabular-nums;
        white-space: nowrap;
      }
      .query {
        display: flex;
        align-items: flex-start;
        gap: 8px;
        margin-top: 8px;
        padding: 6px 6px 6px 10px;
        border-radius: 8px;
        background: var(--ground);
      }
      code {
        flex: 1;
        padding: 6px 0;
        font: 12px/1.45 var(--mono);
        overflow-wrap: anywhere;
        white-space: pre-wrap;
      }
      .row {
        display: flex;
        flex-wrap: wrap;
        align-items: center;
        gap: 8px;
        margin-top: 8px;
        font-size: 12.5px;
        color: var(--soft);
      }
      .row .button {
        min-height: 28px;
        font-size: 12.5px;
      }
    `,
  ];

  constructor() {
    super();
    new Watching(this);
  }

  disconnectedCallback(): void {
    super.disconnectedCallback();
    this.unlisten?.();
    this.unlisten = null;
  }

  protected willUpdate(changed: PropertyValues<this>): void {
    if (!changed.has("evidence") && !changed.has("finding")) return;
    const { start_ms, end_ms, severity } = this.finding;
    const wanted = JSON.stringify([this.evidence, start_ms, end_ms, severity]);
    if (wanted === this.shown) return;
    this.shown = wanted;
    this.own = shownRange(this.evidence);
    this.marks = [{ from: start_ms, to: end_ms, severity }];
    if (this.panel?.widget.id !== this.evidence.query) this.begin();
    this.stale = true;
    void this.load();
  }

  private begin(): void {
    this.unlisten?.();
    this.panel = panelOf(this.evidence, `Evidence: ${this.finding.title}`);
    this.unlisten = this.panel.listen(() => this.requestUpdate());
  }

  private async load(): Promise<void> {
    if (!this.stale || !this.sight.seen || !this.panel) return;
    this.stale = false;
    await loadEvidence(this.board.server, this.evidence, this.panel);
  }

  private again(): void {
    this.stale = true;
    void this.load();
  }

  render(): TemplateResult {
    const { board, evidence, panel, own } = this;
    if (!panel) return html``;
    return html`${evidence.note ? html`<p class="note">${evidence.note}</p>` : nothing}
      <p class="span">${spanText(own[0], own[1], board.utc)}; the finding's span is marked</p>
      <barograph-plot
        .board=${board}
        .panel=${panel}
        .own=${own}
        .marks=${this.marks}
        .height=${150}
        @cursor=${(event: CustomEvent<number | null>) => (this.index = event.detail)}
        @again=${() => this.again()}
      ></barograph-plot>
      ${panel.state === "ready" ? this.legend(panel) : nothing}
      <div class="query">
        <code tabindex="0" aria-label="PromQL">${evidence.query}</code>
        <button class="button bare icon" aria-label="Copy the query" title="Copy the query"
          @click=${() => void this.copy()}>${icons.copy}</button>
      </div>
      <div class="row">
        <button class="button" @click=${() => board.setRange(between(own[0], own[1]))}>
          Show all charts at this time
        </button>
        <span role="status">${this.said}</span>
      </div>`;
  }

  private legend(panel: Panel): TemplateResult {
    return html`<ul aria-label="Lines">
      ${panel.lines.map((line) => {
        const value = this.index === null ? undefined : line.values[this.index];
        return html`<li>
          ${swatch(line.slot, this.board.theme.dark)}<span class="name" title=${line.legend}>${line.legend}</span>
          ${value === undefined
            ? nothing
            : html`<span class="value">${format(value, panel.widget.unit)}</span>`}
        </li>`;
      })}
      ${panel.truncated ? html`<li>Only the first ${panel.lines.length} lines are drawn.</li>` : nothing}
    </ul>`;
  }

  /** Browsers give the clipboard to secure addresses only; elsewhere the text is selected. */
  private async copy(): Promise<void> {
    try {
      await navigator.clipboard.writeText(this.evidence.query);
      this.said = "Copied";
    } catch (error) {
      console.info("the clipboard is not to be had:", String(error));
      getSelection()?.selectAllChildren(this.code);
      this.said = "Selected: copy it with Ctrl+C";
    }
  }
}
