/** The card of a chart: title, help, plot, and a legend whose values follow the cursor. */

import { LitElement, type TemplateResult, css, html, nothing } from "lit";
import { customElement, property, state } from "lit/decorators.js";

import type { Board } from "../board";
import type { Finding, Widget } from "../contract";
import { touches } from "../findings";
import type { Mark } from "../marks";
import type { Line, Panel } from "../panel";
import { moment } from "../timetext";
import { format } from "../units";
import { controls, icons } from "./controls";
import "./plot";
import { score, scoreStyles } from "./score";
import { severity, severityStyles } from "./severity";
import { swatch } from "./swatch";
import { Watching } from "./watching";

const LEGEND_LINES = 10;
const FINDINGS_SHOWN = 2;

@customElement("barograph-chart")
export class ChartElement extends LitElement {
  @property({ attribute: false }) board!: Board;
  @property({ attribute: false }) widget!: Widget;
  @state() private index: number | null = null;
  @state() private hiddenLines: ReadonlySet<string> = new Set();
  @state() private focusLine = "";
  @state() private explained = false;
  private panel: Panel | null = null;
  private marked: readonly Mark[] = [];
  private markKey = "";
  private unlisten: (() => void) | null = null;

  static styles = [
    controls,
    severityStyles,
    scoreStyles,
    css`
      :host {
        display: block;
        min-width: 0;
      }
      article {
        position: relative;
        height: 100%;
        padding: 10px 12px 10px;
        background: var(--card);
        border: 1px solid var(--line);
        border-radius: var(--radius);
        box-shadow: var(--shadow);
      }
      header {
        display: flex;
        align-items: center;
        gap: 2px;
        min-height: 28px;
      }
      h3 {
        margin: 0;
        min-width: 0;
        flex: 1;
        font-size: 14px;
        font-weight: 600;
        line-height: 1.2;
      }
      .title {
        display: block;
        max-width: 100%;
        min-height: 26px;
        padding: 2px 6px;
        margin-left: -6px;
        border: 0;
        border-radius: 6px;
        background: none;
        font-weight: 600;
        text-align: left;
        cursor: pointer;
        overflow: hidden;
        text-overflow: ellipsis;
        white-space: nowrap;
      }
      .title:hover {
        color: var(--accent);
        background: var(--accent-soft);
      }
      time {
        color: var(--soft);
        font-size: 12px;
        font-variant-numeric: tabular-nums;
        margin-right: 4px;
        white-space: nowrap;
      }
      header .button {
        min-height: 28px;
        min-width: 28px;
      }
      .help {
        margin: 0 0 4px;
        color: var(--soft);
        font-size: 12px;
        line-height: 1.4;
        overflow: hidden;
        text-overflow: ellipsis;
        white-space: nowrap;
      }
      .explained .help {
        white-space: normal;
      }
      .bad {
        margin: 0 0 6px;
        padding: 6px 10px;
        border-left: 3px solid var(--warn);
        border-radius: 0 6px 6px 0;
        background: var(--warn-soft);
        font-size: 12px;
      }
      ul {
        display: flex;
        flex-wrap: wrap;
        gap: 0 4px;
        margin: 4px 0 0;
        padding: 0;
        list-style: none;
        font-size: 12px;
        min-height: 24px;
      }
      li {
        min-width: 0;
        max-width: 100%;
      }
      .line {
        display: flex;
        align-items: center;
        gap: 5px;
        max-width: 100%;
        min-height: 24px;
        padding: 0 6px;
        border: 0;
        border-radius: 6px;
        background: none;
        cursor: pointer;
      }
      .line:hover {
        background: var(--accent-soft);
      }
      .line.off {
        opacity: 0.55;
        text-decoration: line-through;
      }
      .swatch {
        flex: none;
      }
      .findings {
        flex-direction: column;
        min-height: 0;
      }
      .findings .line {
        text-align: left;
      }
      .findings .here {
        background: var(--accent-soft);
      }
      .findings .name {
        color: var(--text);
        unicode-bidi: isolate;
      }
      .findings .when {
        flex: none;
        color: var(--soft);
        font-variant-numeric: tabular-nums;
      }
      .name {
        color: var(--soft);
        overflow: hidden;
        text-overflow: ellipsis;
        white-space: nowrap;
      }
      .value {
        font-variant-numeric: tabular-nums;
        font-weight: 600;
        white-space: nowrap;
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
    this.unlisten = this.panel = null;
  }

  connectedCallback(): void {
    super.connectedCallback();
    this.requestUpdate();
  }

  protected willUpdate(): void {
    const panel = this.board.panel(this.widget);
    if (panel === this.panel) return;
    this.unlisten?.();
    this.panel = panel;
    this.unlisten = panel.listen(() => this.requestUpdate());
  }

  render(): TemplateResult {
    const { board, widget, panel } = this;
    if (!panel) return html``;
    const [from, to] = board.window;
    const time = this.index === null ? undefined : panel.t[this.index];
    const findings = board.findings.of(widget).filter((one) => touches(one, from, to));
    return html`<article class=${this.explained ? "explained" : ""}>
      <header>
        <h3>
          <button class="title" title="Open ${widget.title}" @click=${this.enlarge}>
            ${widget.title}
          </button>
        </h3>
        ${time === undefined
          ? nothing
          : html`<time>${moment(time, panel.step, to - from, board.utc)}</time>`}
        ${score(board.scores.of(widget), board.live)}
        <button
          class="button bare icon"
          aria-label="What ${widget.title} means"
          aria-expanded=${this.explained}
          @click=${() => (this.explained = !this.explained)}
        >
          ${icons.info}
        </button>
        <button class="button bare icon" aria-label="Enlarge ${widget.title}" @click=${this.enlarge}>
          ${icons.expand}
        </button>
      </header>
      <p class="help" title=${widget.help}>${widget.help}</p>
      ${this.explained && widget.bad
        ? html`<p class="bad"><strong>What is bad:</strong> ${widget.bad}</p>`
        : nothing}
      <barograph-plot
        .board=${board}
        .panel=${panel}
        .hiddenLines=${this.hiddenLines}
        .focusLine=${this.focusLine}
        .marks=${this.marks(findings)}
        @cursor=${(event: CustomEvent<number | null>) => (this.index = event.detail)}
        @enlarge=${this.enlarge}
      ></barograph-plot>
      ${this.legend(panel)} ${findings.length ? this.found(findings, time, from, to) : nothing}
    </article>`;
  }

  /** The same array as long as the marks are the same, so that the plot is not drawn anew. */
  private marks(findings: Finding[]): readonly Mark[] {
    const key = findings.map((one) => `${one.start_ms} ${one.end_ms} ${one.severity}`).join();
    if (key !== this.markKey) {
      this.markKey = key;
      this.marked = findings.map((one) => ({
        from: one.start_ms, to: one.end_ms, severity: one.severity,
      }));
    }
    return this.marked;
  }

  /** What the bands say; the one under the cursor comes first. */
  private found(findings: Finding[], time: number | undefined, from: number, to: number): TemplateResult {
    const { board } = this;
    const step = this.panel?.step ?? 0;
    const here = (one: Finding) => time !== undefined && touches(one, time - step, time + step);
    const sorted = [...findings].sort((a, b) => Number(here(b)) - Number(here(a)));
    const more = sorted.length - FINDINGS_SHOWN;
    return html`<ul class="findings" aria-label="Findings in this range">
      ${sorted.slice(0, FINDINGS_SHOWN).map(
        (one) => html`<li>
          <button class="line ${here(one) ? "here" : ""}" title="${one.title}"
            @click=${() => board.openFindings(board.address.findings?.filter ?? "open", one.id)}>
            ${severity(one.severity)}
            <span class="when">${moment(Math.max(one.start_ms, from), step, to - from, board.utc)}</span>
            <span class="name">${one.title}</span>
          </button>
        </li>`,
      )}
      ${more > 0
        ? html`<li><button class="line" @click=${() => board.openFindings("all")}>
            and ${more} more findings here …
          </button></li>`
        : nothing}
    </ul>`;
  }

  private legend(panel: Panel): TemplateResult {
    const dark = this.board.theme.dark;
    const shown = panel.state === "ready" ? panel.lines.slice(0, LEGEND_LINES) : [];
    const more = panel.state === "ready" ? panel.lines.length - shown.length : 0;
    return html`<ul aria-label="Lines">
      ${shown.map((line) => {
        const value = this.index === null ? panel.now(line) : line.values[this.index];
        return html`<li>
          <button
            class="line ${this.hiddenLines.has(line.key) ? "off" : ""}"
            aria-pressed=${!this.hiddenLines.has(line.key)}
            title="${line.legend} (click: show or hide; with Ctrl: only this)"
            @click=${(event: MouseEvent) => this.toggle(line, event)}
            @pointerenter=${() => (this.focusLine = panel.lines.length > 1 ? line.key : "")}
            @pointerleave=${() => (this.focusLine = "")}
          >
            ${swatch(line.slot, dark)}<span class="name">${line.legend}</span>
            <span class="value">${format(value, panel.widget.unit)}</span>
          </button>
        </li>`;
      })}
      ${more > 0
        ? html`<li><button class="line" @click=${this.enlarge}>and ${more} more …</button></li>`
        : nothing}
    </ul>`;
  }

  private toggle(line: Line, event: MouseEvent): void {
    const lines = this.panel?.lines ?? [];
    const hidden = new Set(this.hiddenLines);
    if (event.ctrlKey || event.metaKey) {
      const alone = lines.every((one) => hidden.has(one.key) !== (one === line));
      hidden.clear();
      if (!alone) for (const one of lines) if (one !== line) hidden.add(one.key);
    } else if (!hidden.delete(line.key)) {
      hidden.add(line.key);
    }
    this.focusLine = "";
    this.hiddenLines = hidden.size >= lines.length ? new Set() : hidden;
  }

  private readonly enlarge = (): void => {
    this.board.open({ widget: this.widget.id, by: "", where: [], line: null, ref: null });
  };
}
