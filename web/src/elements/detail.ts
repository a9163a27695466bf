/** The drill-down of a chart: large, split by a label, with a table of its lines and their samples. */

import { LitElement, type TemplateResult, css, html, nothing } from "lit";
import { customElement, property, state } from "lit/decorators.js";

import type { Pairs, View } from "../address";
import type { Board } from "../board";
import type { Widget } from "../contract";
import { download, table } from "../export";
import type { Line, Panel } from "../panel";
import { summary } from "../stack";
import { full, moment } from "../timetext";
import { format } from "../units";
import { controls, icons } from "./controls";
import "./plot";
import "./samples";
import { swatch } from "./swatch";
import { Watching } from "./watching";

const POINTS_SHOWN = 120;

@customElement("barograph-detail")
export class DetailElement extends LitElement {
  @property({ attribute: false }) board!: Board;
  @property({ attribute: false }) widget!: Widget;
  @property({ attribute: false }) view!: View;
  @state() private index: number | null = null;
  @state() private hiddenLines: ReadonlySet<string> = new Set();
  @state() private focusLine = "";
  @state() private points = false;
  private panel: Panel | null = null;
  private unlisten: (() => void) | null = null;

  static styles = [
    controls,
    css`
      :host {
        display: block;
      }
      .head {
        display: flex;
        flex-wrap: wrap;
        align-items: center;
        gap: 8px 12px;
        margin: 14px 0 10px;
      }
      h2 {
        margin: 0;
        font-size: 20px;
      }
      .help {
        margin: 0 0 12px;
        max-width: 80ch;
        color: var(--soft);
      }
      .help strong {
        color: var(--text);
      }
      .split {
        display: flex;
        flex-wrap: wrap;
        align-items: center;
        gap: 6px;
        margin-left: auto;
        color: var(--soft);
        font-size: 13px;
      }
      .chip {
        border-color: var(--accent);
        background: var(--accent-soft);
        font-size: 13px;
        max-width: 100%;
        overflow: hidden;
      }
      .card {
        margin-bottom: 14px;
        padding: 12px;
        background: var(--card);
        border: 1px solid var(--line);
        border-radius: var(--radius);
        box-shadow: var(--shadow);
      }
      .scroll {
        overflow-x: auto;
        max-height: 70vh;
      }
      table {
        width: 100%;
        border-collapse: collapse;
        font-size: 13px;
        font-variant-numeric: tabular-nums;
      }
      caption {
        text-align: left;
        color: var(--soft);
        padding-bottom: 6px;
      }
      th,
      td {
        padding: 5px 10px;
        text-align: right;
        white-space: nowrap;
        border-bottom: 1px solid var(--line);
      }
      thead th {
        position: sticky;
        top: 0;
        background: var(--card);
        color: var(--soft);
        font-weight: 600;
        font-size: 12px;
      }
      tbody th,
      thead th:first-child {
        text-align: left;
        font-weight: 500;
      }
      tbody tr:hover {
        background: var(--accent-soft);
      }
      .name {
        display: inline-flex;
        align-items: center;
        gap: 8px;
        min-height: 26px;
        padding: 0 6px;
        margin-left: -6px;
        border: 0;
        background: none;
        cursor: pointer;
        text-align: left;
        max-width: 46vw;
      }
      .name span {
        overflow: hidden;
        text-overflow: ellipsis;
      }
      .name:hover span {
        text-decoration: underline;
      }
      .off {
        opacity: 0.6;
        text-decoration: line-through;
      }
      td .button {
        min-height: 26px;
        font-size: 12px;
        padding: 0 8px;
      }
      .row {
        display: flex;
        gap: 8px;
        flex-wrap: wrap;
        margin-bottom: 10px;
      }
      tr.chosen {
        background: var(--accent-soft);
      }
    `,
  ];

  constructor() {
    super();
    new Watching(this);
  }

  disconnectedCallback(): void {
    super.disconnectedCallback();
    this.release();
  }

  protected willUpdate(): void {
    const panel = this.board.detail(this.widget, this.view);
    if (panel === this.panel) return;
    this.release();
    this.panel = panel;
    this.hiddenLines = new Set();
    this.unlisten = panel.listen(() => this.requestUpdate());
  }

  private release(): void {
    this.unlisten?.();
    this.unlisten = null;
    if (this.panel) this.board.forget(this.panel);
    this.panel = null;
  }

  render(): TemplateResult {
    const { board, widget, panel, view } = this;
    if (!panel) return html``;
    return html`<div class="head">
        <button class="button" @click=${() => board.closeView()}>${icons.back}Back</button>
        <h2>${widget.title}</h2>
        ${view.where.map(
          ([label, value]) => html`<button class="button chip" aria-label="Remove ${label} ${value}"
            @click=${() => this.go({ where: view.where.filter(([one]) => one !== label) })}>
            ${label}: ${value} ${icons.close}
          </button>`,
        )}
        ${widget.drill_by.length ? this.splits() : nothing}
      </div>
      <p class="help">
        ${widget.help} ${widget.bad ? html`<strong>What is bad:</strong> ${widget.bad}` : nothing}
      </p>
      <div class="card">
        <barograph-plot
          .board=${board}
          .panel=${panel}
          .height=${innerWidth < 640 ? 240 : 360}
          .hiddenLines=${this.hiddenLines}
          .focusLine=${this.focusLine}
          @cursor=${(event: CustomEvent<number | null>) => (this.index = event.detail)}
        ></barograph-plot>
      </div>
      <div class="card">
        <div class="row">
          <button class="button" aria-expanded=${this.points} @click=${() => (this.points = !this.points)}>
            ${icons.list}Data table
          </button>
          <button class="button" @click=${this.save}>Save as CSV</button>
        </div>
        <div class="scroll">${this.lines(panel)}</div>
      </div>
      ${this.points ? html`<div class="card scroll">${this.data(panel)}</div>` : nothing}
      ${view.line
        ? html`<div class="card">
            <barograph-samples .board=${board} .widget=${panel.widget} .view=${view}>
            </barograph-samples>
          </div>`
        : nothing}`;
  }

  private splits(): TemplateResult {
    const { view, widget } = this;
    const used = new Set(view.where.map(([label]) => label));
    const free = widget.drill_by.filter((label) => !used.has(label));
    return html`<div class="split" role="group" aria-label="Split by">
      Split by
      ${["", ...free].map(
        (label) => html`<button class="button ${view.by === label ? "on" : ""}"
          aria-pressed=${view.by === label} @click=${() => this.go({ by: label })}>
          ${label || "nothing more"}
        </button>`,
      )}
    </div>`;
  }

  private lines(panel: Panel): TemplateResult {
    const { unit } = panel.widget;
    const { board, view } = this;
    const chosen = JSON.stringify(view.line);
    const [from, to] = board.window;
    const time = this.index === null ? undefined : panel.t[this.index];
    const at = time === undefined ? "last" : moment(time, panel.step, to - from, board.utc);
    return html`<table>
      <caption>Each line over the range. Its name leads to its raw samples.</caption>
      <thead>
        <tr>
          <th scope="col">line</th>
          <th scope="col">${at}</th>
          <th scope="col">min</th>
          <th scope="col">mean</th>
          <th scope="col">max</th>
          <th scope="col"><span class="spoken">actions</span></th>
        </tr>
      </thead>
      <tbody>
        ${panel.lines.map((line) => {
          const found = summary(line.values);
          const value = this.index === null ? panel.now(line) : line.values[this.index];
          const hidden = this.hiddenLines.has(line.key);
          return html`<tr
            class=${chosen === JSON.stringify(pairsOf(line)) ? "chosen" : ""}
            @pointerenter=${() => (this.focusLine = panel.lines.length > 1 ? line.key : "")}
            @pointerleave=${() => (this.focusLine = "")}
          >
            <th scope="row">
              <button class="name ${hidden ? "off" : ""}" title="Raw samples of ${line.legend}"
                @click=${() => board.open({ ...view, line: pairsOf(line), ref: null })}>
                ${swatch(line.slot, board.theme.dark)}<span>${line.legend}</span>
              </button>
            </th>
            <td>${format(value, unit)}</td>
            <td>${format(found.min, unit)}</td>
            <td>${format(found.mean, unit)}</td>
            <td>${format(found.max, unit)}</td>
            <td>
              ${this.narrower(line)}
              <button class="button" aria-pressed=${!hidden} @click=${() => this.toggle(line)}>
                ${hidden ? "show" : "hide"}
              </button>
            </td>
          </tr>`;
        })}
      </tbody>
    </table>`;
  }

  /** From a core to its modes, from a device to its directions: keep this line's labels, split on. */
  private narrower(line: Line): TemplateResult | typeof nothing {
    const { view, widget } = this;
    const label = view.by;
    const value = line.labels[label];
    const next = widget.drill_by.find(
      (one) => one !== label && !view.where.some(([known]) => known === one),
    );
    if (!label || value === undefined || next === undefined) return nothing;
    const where: View["where"] = [...view.where, [label, value]];
    return html`<button class="button" @click=${() => this.go({ where, by: next })}>by ${next}</button>`;
  }

  private data(panel: Panel): TemplateResult {
    const { unit } = panel.widget;
    const first = Math.max(0, panel.t.length - POINTS_SHOWN);
    const rows = panel.t.map((_, i) => i).slice(first).reverse();
    return html`<table>
      <caption>The newest ${rows.length} of ${panel.t.length} points.</caption>
      <thead>
        <tr>
          <th scope="col">time</th>
          ${panel.lines.map((line) => html`<th scope="col">${line.legend}</th>`)}
        </tr>
      </thead>
      <tbody>
        ${rows.map(
          (i) => html`<tr>
            <th scope="row">${full(panel.t[i]!, this.board.utc).slice(0, 19)}</th>
            ${panel.lines.map((line) => html`<td>${format(line.values[i], unit)}</td>`)}
          </tr>`,
        )}
      </tbody>
    </table>`;
  }

  private toggle(line: Line): void {
    const hidden = new Set(this.hiddenLines);
    if (!hidden.delete(line.key)) hidden.add(line.key);
    this.focusLine = "";
    this.hiddenLines = hidden;
  }

  private go(part: Partial<View>): void {
    this.board.open({ ...this.view, line: null, ref: null, ...part });
  }

  private readonly save = (): void => {
    if (this.panel) download(`${this.widget.id}.csv`, table(this.panel));
  };
}

function pairsOf(line: Line): Pairs {
  return Object.entries(line.labels).filter(([label]) => label !== "__name__");
}
