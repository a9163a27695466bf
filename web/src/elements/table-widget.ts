/** A widget of kind `table`: the newest value of each line, the greatest first. */

import { LitElement, type TemplateResult, css, html } from "lit";
import { customElement, property } from "lit/decorators.js";

import type { Board } from "../board";
import type { Widget } from "../contract";
import type { Panel } from "../panel";
import { format } from "../units";
import { controls } from "./controls";
import { Sight } from "./sight";
import { Watching } from "./watching";

const ROWS = 20;

@customElement("barograph-table")
export class TableElement extends LitElement {
  @property({ attribute: false }) board!: Board;
  @property({ attribute: false }) widget!: Widget;
  private panel: Panel | null = null;
  private unlisten: (() => void) | null = null;
  private readonly sight = new Sight(this, () => this.place());

  static styles = [
    controls,
    css`
      article {
        height: 100%;
        padding: 10px 12px;
        background: var(--card);
        border: 1px solid var(--line);
        border-radius: var(--radius);
        box-shadow: var(--shadow);
      }
      h3 {
        margin: 4px 0;
        font-size: 14px;
      }
      p {
        margin: 0 0 6px;
        color: var(--soft);
        font-size: 12px;
      }
      table {
        width: 100%;
        border-collapse: collapse;
        font-size: 13px;
      }
      td,
      th {
        padding: 4px 2px;
        border-top: 1px solid var(--line);
        text-align: left;
        font-weight: 400;
        overflow-wrap: anywhere;
      }
      td {
        text-align: right;
        font-weight: 600;
        font-variant-numeric: tabular-nums;
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

  protected willUpdate(): void {
    const panel = this.board.panel(this.widget);
    if (panel === this.panel) return;
    this.unlisten?.();
    this.panel = panel;
    this.unlisten = panel.listen(() => this.requestUpdate());
    this.place();
  }

  render(): TemplateResult {
    const { widget, panel } = this;
    const rows = (panel?.lines ?? [])
      .map((line) => ({ line, value: panel!.now(line) }))
      .sort((a, b) => (b.value ?? -Infinity) - (a.value ?? -Infinity))
      .slice(0, ROWS);
    return html`<article>
      <h3>${widget.title}</h3>
      <p>${widget.help}</p>
      ${panel?.state === "error" ? html`<p role="alert">This table failed: ${panel.error}</p>` : ""}
      ${panel?.state === "loading" ? html`<p>Loading …</p>` : ""}
      ${panel?.state === "waiting" || panel?.state === "nothing" ? html`<p>No data.</p>` : ""}
      <table>
        ${rows.map(
          ({ line, value }) => html`<tr>
            <th scope="row">${line.legend}</th>
            <td>${format(value, widget.unit)}</td>
          </tr>`,
        )}
      </table>
    </article>`;
  }

  private place(): void {
    if (!this.panel) return;
    if (this.sight.seen) this.board.show(this.panel);
    else this.board.hide(this.panel);
  }
}
