/** What the keys do. */

import { LitElement, type TemplateResult, css, html } from "lit";
import { customElement, query } from "lit/decorators.js";

import { controls, icons } from "./controls";

const KEYS: [string, [string[], string][]][] = [
  ["Anywhere", [
    [["?"], "this list"],
    [["/"], "filter charts"],
    [["f"], "findings: show, hide"],
    [["l"], "live"],
    [["Space"], "pause, go on"],
    [["1", "…", "7"], "ranges from live to 30 days"],
    [["t"], "theme: system, light, dark"],
    [["u"], "times in UTC or local"],
    [["n", "p"], "next, previous chart"],
    [["Esc"], "close findings, back from a detail, undo a zoom"],
  ]],
  ["In a chart", [
    [["←", "→"], "read the values; with Shift by tens"],
    [["Home", "End"], "first, last point"],
    [["+", "−"], "zoom in, out"],
    [[",", "."], "move back, forth"],
    [["Enter"], "open the detail with its tables"],
    [["Backspace"], "undo a zoom"],
  ]],
  ["With the mouse", [
    [["drag"], "zoom all charts"],
    [["double click"], "undo a zoom"],
    [["click a title"], "detail: split, table, raw samples"],
    [["click a line's name"], "hide it; with Ctrl show only it"],
  ]],
];

@customElement("barograph-shortcuts")
export class ShortcutsElement extends LitElement {
  @query("dialog") private dialog!: HTMLDialogElement;

  static styles = [
    controls,
    css`
      dialog {
        width: min(760px, calc(100vw - 32px));
        padding: 20px 24px 24px;
        border: 1px solid var(--line-strong);
        border-radius: 14px;
        background: var(--raised);
        color: var(--text);
        box-shadow: var(--shadow-high);
      }
      dialog::backdrop {
        background: #0008;
      }
      header {
        display: flex;
        align-items: center;
        justify-content: space-between;
      }
      h2 {
        margin: 0;
        font-size: 18px;
      }
      h3 {
        margin: 14px 0 6px;
        font-size: 13px;
        color: var(--soft);
      }
      .columns {
        columns: 2 300px;
        column-gap: 32px;
      }
      section {
        break-inside: avoid;
      }
      dl {
        display: grid;
        grid-template-columns: auto 1fr;
        gap: 6px 14px;
        margin: 0;
        font-size: 13px;
      }
      dt {
        white-space: nowrap;
      }
      dd {
        margin: 0;
      }
      kbd {
        display: inline-block;
        min-width: 22px;
        padding: 1px 6px;
        margin-right: 3px;
        border: 1px solid var(--line-strong);
        border-bottom-width: 2px;
        border-radius: 5px;
        background: var(--card);
        font: 12px var(--mono);
        text-align: center;
      }
    `,
  ];

  show(): void {
    if (!this.dialog.open) this.dialog.showModal();
  }

  get shown(): boolean {
    return this.dialog?.open ?? false;
  }

  render(): TemplateResult {
    return html`<dialog aria-label="Keyboard shortcuts">
      <header>
        <h2>Keys</h2>
        <button class="button bare icon" aria-label="Close" @click=${() => this.dialog.close()}>
          ${icons.close}
        </button>
      </header>
      <div class="columns">
        ${KEYS.map(
          ([where, keys]) => html`<section>
            <h3>${where}</h3>
            <dl>
              ${keys.map(
                ([names, text]) => html`<dt>
                    ${names.map((name) => html`<kbd>${name}</kbd>`)}
                  </dt>
                  <dd>${text}</dd>`,
              )}
            </dl>
          </section>`,
        )}
      </div>
    </dialog>`;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "barograph-shortcuts": ShortcutsElement;
  }
}
