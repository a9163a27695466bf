/** Presets of the time range, and a little form for an exact one. */

import { LitElement, type TemplateResult, css, html, nothing } from "lit";
import { customElement, property, query, state } from "lit/decorators.js";

import type { Board } from "../board";
import { PRESETS, recent } from "../range";
import { input, spanText, typed } from "../timetext";
import { controls, icons } from "./controls";
import { Watching } from "./watching";

@customElement("barograph-range")
export class RangeElement extends LitElement {
  @property({ attribute: false }) board!: Board;
  @state() private asking = false;
  @state() private mistake = "";
  @query("#from") private from!: HTMLInputElement;
  @query("#to") private to!: HTMLInputElement;

  static styles = [
    controls,
    css`
      :host {
        position: relative;
        display: flex;
        gap: 6px;
        min-width: 0;
      }
      .presets {
        display: flex;
        border: 1px solid var(--line);
        border-radius: 8px;
        background: var(--card);
        padding: 2px;
        gap: 1px;
      }
      .presets button {
        min-height: 26px;
        padding: 0 9px;
        border: 0;
        border-radius: 6px;
        background: none;
        color: var(--soft);
        cursor: pointer;
        white-space: nowrap;
        font-size: 13px;
      }
      .presets button:hover {
        color: var(--text);
        background: var(--accent-soft);
      }
      .presets button[aria-pressed="true"] {
        background: var(--accent);
        color: var(--on-accent);
        font-weight: 600;
      }
      select {
        display: none;
        min-height: 32px;
        padding: 0 6px;
        border: 1px solid var(--line);
        border-radius: 8px;
        background: var(--card);
        max-width: 150px;
      }
      form {
        position: absolute;
        z-index: 20;
        top: calc(100% + 6px);
        right: 0;
        width: 270px;
        padding: 14px;
        display: grid;
        gap: 10px;
        background: var(--raised);
        border: 1px solid var(--line-strong);
        border-radius: var(--radius);
        box-shadow: var(--shadow-high);
      }
      label {
        display: grid;
        gap: 4px;
        font-size: 12px;
        color: var(--soft);
      }
      form input {
        min-height: 34px;
        padding: 0 8px;
        color: var(--text);
        border: 1px solid var(--line-strong);
        border-radius: 6px;
        background: var(--ground);
        width: 100%;
      }
      .row {
        display: flex;
        gap: 8px;
        justify-content: flex-end;
      }
      .mistake {
        margin: 0;
        color: var(--bad);
        font-size: 12px;
      }
      .exact {
        font-variant-numeric: tabular-nums;
        font-size: 13px;
      }
      @media (max-width: 1100px) {
        .presets {
          display: none;
        }
        select {
          display: block;
        }
      }
      @media (max-width: 640px) {
        .exact span {
          display: none;
        }
        form {
          right: auto;
          left: 0;
        }
      }
    `,
  ];

  constructor() {
    super();
    new Watching(this);
    this.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !this.asking) return;
      this.asking = false;
      event.stopPropagation();
    });
  }

  render(): TemplateResult {
    const { board } = this;
    const { range } = board;
    const name = range.kind === "recent" ? range.name : "";
    const exact = range.kind === "between" ? spanText(range.from, range.to, board.utc) : "";
    return html`<div class="presets" role="group" aria-label="Time range">
        ${PRESETS.map(
          (preset) => html`<button
            aria-pressed=${preset.name === name}
            aria-label="${preset.label}: ${preset.spoken}"
            @click=${() => board.setRange(recent(preset.name))}
          >
            ${preset.label}
          </button>`,
        )}
      </div>
      <select aria-label="Time range" @change=${this.pick}>
        ${PRESETS.map(
          (preset) => html`<option value=${preset.name} .selected=${preset.name === name}>
            ${preset.name === "live" ? "Live" : `Last ${preset.label}`}
          </option>`,
        )}
        ${exact ? html`<option value="" .selected=${true}>${exact}</option>` : nothing}
      </select>
      <button
        class="button exact ${exact ? "on" : "icon"}"
        aria-label="Exact time range${exact ? `: ${exact}` : ""}"
        aria-expanded=${this.asking}
        @click=${() => (this.asking = !this.asking)}
      >
        ${icons.calendar}${exact ? html`<span>${exact}</span>` : nothing}
      </button>
      ${exact
        ? html`<button class="button icon" aria-label="Undo zoom" title="Undo zoom (double click)"
            @click=${() => board.zoomBack()}>${icons.out}</button>`
        : nothing}
      ${this.asking ? this.form() : nothing}`;
  }

  private form(): TemplateResult {
    const { board } = this;
    const [from, to] = board.window;
    const zone = board.utc ? "UTC" : "local time";
    return html`<form @submit=${this.set} aria-label="Exact time range">
      <label>From (${zone})
        <input id="from" type="datetime-local" step="1" required .defaultValue=${input(from, board.utc)} />
      </label>
      <label>To (${zone})
        <input id="to" type="datetime-local" step="1" required .defaultValue=${input(to, board.utc)} />
      </label>
      ${this.mistake ? html`<p class="mistake" role="alert">${this.mistake}</p>` : nothing}
      <div class="row">
        <button class="button" type="button" @click=${() => (this.asking = false)}>Cancel</button>
        <button class="button on" type="submit">Show</button>
      </div>
    </form>`;
  }

  private readonly pick = (event: Event): void => {
    const { value } = event.target as HTMLSelectElement;
    if (value) this.board.setRange(recent(value));
  };

  private readonly set = (event: Event): void => {
    event.preventDefault();
    const from = typed(this.from.value, this.board.utc);
    const to = typed(this.to.value, this.board.utc);
    if (from === null || to === null) this.mistake = "Both ends need a date and a time.";
    else if (from >= to) this.mistake = "The end must come after the start.";
    else {
      this.mistake = "";
      this.asking = false;
      this.board.zoomTo(from, to);
    }
  };
}
