/** Raw samples behind one line: first which series, then its samples with their times. */

import { LitElement, type TemplateResult, css, html, nothing } from "lit";
import { customElement, property, state } from "lit/decorators.js";

import type { View } from "../address";
import type { Board } from "../board";
import type { FoundSeries, Samples, Widget } from "../contract";
import { behind, written } from "../selector";
import { full } from "../timetext";
import { format } from "../units";
import { controls, icons } from "./controls";
import { Watching } from "./watching";

const LIMIT = 500;

@customElement("barograph-samples")
export class SamplesElement extends LitElement {
  @property({ attribute: false }) board!: Board;
  @property({ attribute: false }) widget!: Widget;
  @property({ attribute: false }) view!: View;
  @state() private series: FoundSeries[] = [];
  @state() private samples: Samples | null = null;
  @state() private failure = "";
  @state() private busy = false;
  /** Whose samples are shown: the chosen series, or the only one there is. */
  @state() private shown: number | null = null;
  private asked = "";

  static styles = [
    controls,
    css`
      h3 {
        margin: 0 0 8px;
        font-size: 15px;
      }
      ul {
        display: flex;
        flex-wrap: wrap;
        gap: 6px;
        margin: 0 0 12px;
        padding: 0;
        list-style: none;
      }
      li {
        max-width: 100%;
      }
      li .button {
        display: block;
        max-width: 100%;
        overflow: hidden;
        text-overflow: ellipsis;
        font: 12px var(--mono);
      }
      .scroll {
        margin-bottom: 10px;
        max-height: 420px;
        overflow: auto;
      }
      table {
        width: 100%;
        max-width: 620px;
        border-collapse: collapse;
        font-size: 13px;
        font-variant-numeric: tabular-nums;
      }
      caption {
        text-align: left;
        color: var(--soft);
        padding-bottom: 6px;
        overflow-wrap: anywhere;
      }
      th,
      td {
        padding: 4px 10px;
        text-align: right;
        border-bottom: 1px solid var(--line);
        font-weight: 400;
      }
      th:first-child {
        text-align: left;
      }
      thead th {
        position: sticky;
        top: 0;
        background: var(--card);
        color: var(--soft);
        font-size: 12px;
        font-weight: 600;
      }
      .error {
        color: var(--bad);
      }
    `,
  ];

  constructor() {
    super();
    new Watching(this);
  }

  protected updated(): void {
    const { board, view, widget } = this;
    const wanted = JSON.stringify([view.line, view.ref, view.where, widget.id, board.range]);
    if (wanted === this.asked) return;
    this.asked = wanted;
    void this.load();
  }

  render(): TemplateResult {
    const { board, view } = this;
    const found = this.series.find((one) => one.ref === this.shown);
    const name = (view.line ?? []).map(([label, value]) => `${label} ${value}`).join(", ");
    return html`<h3>Raw samples${name ? html` of ${name}` : nothing}</h3>
      ${this.failure ? html`<p class="error" role="alert">${this.failure}</p>` : nothing}
      ${this.series.length > 1
        ? html`<ul aria-label="Series">
            ${this.series.map(
              (one) => html`<li>
                <button class="button ${one.ref === this.shown ? "on" : ""}" aria-pressed=${one.ref === this.shown}
                  @click=${() => board.open({ ...view, ref: one.ref })}>
                  ${written(one.labels)}
                </button>
              </li>`,
            )}
          </ul>`
        : nothing}
      ${this.samples ? this.table(this.samples, found) : nothing}
      ${this.busy && !this.samples ? html`<p>Loading …</p>` : nothing}
      <button class="button" ?disabled=${this.busy} @click=${() => void this.load()}>
        ${icons.play}Load again
      </button>`;
  }

  private table(samples: Samples, found: FoundSeries | undefined): TemplateResult {
    const rows = samples.t.map((_, i) => i).reverse();
    const shown = rows.length < samples.total ? `the newest ${rows.length} of ` : "";
    const counter = found?.kind === "counter";
    return html`<div class="scroll" tabindex="0" aria-label="Samples">
      <table>
        <caption>
          ${found ? written(found.labels) : `series ${this.shown}`}: ${shown}${samples.total}
          samples in the range${found?.help ? html`. ${found.help}` : nothing}
        </caption>
        <thead>
          <tr>
            <th scope="col">time (${this.board.utc ? "UTC" : "local"})</th>
            <th scope="col">value</th>
            <th scope="col">${counter ? "grown by" : "in words"}</th>
          </tr>
        </thead>
        <tbody>
          ${rows.map((i) => {
            const value = samples.v[i] ?? null;
            const before = samples.v[i - 1] ?? null;
            const grown = value !== null && before !== null ? value - before : null;
            return html`<tr>
              <th scope="row">${full(samples.t[i]!, this.board.utc)}</th>
              <td>${value ?? "ended"}</td>
              <td>${format(counter ? grown : value, found?.unit ?? "")}</td>
            </tr>`;
          })}
        </tbody>
      </table>
    </div>`;
  }

  private async load(): Promise<void> {
    const [from, to] = this.board.window.map(Math.round) as [number, number];
    const { line, ref } = this.view;
    const asked = this.asked;
    this.busy = true;
    try {
      const selectors = behind(this.widget, line ?? []);
      const series = await this.board.server.series(selectors, from, to);
      if (asked !== this.asked) return;
      this.series = series;
      this.shown = ref ?? (series.length === 1 ? series[0]!.ref : null);
      this.failure = series.length ? "" : "No series of this line has samples in this range.";
      const samples =
        this.shown === null ? null : await this.board.server.samples(this.shown, from, to, LIMIT);
      if (asked === this.asked) this.samples = samples;
    } catch (error) {
      this.failure = error instanceof Error ? error.message : String(error);
    } finally {
      this.busy = false;
    }
  }
}
