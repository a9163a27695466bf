/** The bar at the top: which host, whether data flow, the range, and what the page looks like. */

import { LitElement, type TemplateResult, css, html, nothing } from "lit";
import { customElement, property, query } from "lit/decorators.js";

import type { Board } from "../board";
import { controls, icons } from "./controls";
import "./range-picker";
import { Watching } from "./watching";

@customElement("barograph-header")
export class HeaderElement extends LitElement {
  @property({ attribute: false }) board!: Board;
  @query("input") private field!: HTMLInputElement;

  static styles = [
    controls,
    css`
      :host {
        position: sticky;
        top: 0;
        z-index: 10;
        display: block;
        background: color-mix(in srgb, var(--ground) 88%, transparent);
        backdrop-filter: blur(10px);
        border-bottom: 1px solid var(--line);
      }
      .bar {
        display: flex;
        flex-wrap: wrap;
        align-items: center;
        gap: 8px;
        padding: 9px 20px;
      }
      .mark {
        display: flex;
        align-items: center;
        gap: 10px;
        min-width: 0;
        color: inherit;
        text-decoration: none;
        min-height: 32px;
      }
      h1 {
        margin: 0;
        font-size: 16px;
        font-weight: 650;
        overflow: hidden;
        text-overflow: ellipsis;
        white-space: nowrap;
      }
      .link {
        display: inline-flex;
        align-items: center;
        gap: 6px;
        font-size: 12.5px;
        color: var(--soft);
        white-space: nowrap;
      }
      .dot {
        width: 9px;
        height: 9px;
        border-radius: 50%;
        border: 2px solid var(--soft);
      }
      .open .dot {
        border-color: var(--good);
        background: var(--good);
      }
      .lost {
        color: var(--bad);
        font-weight: 600;
      }
      .lost .dot {
        border-color: var(--bad);
        border-radius: 2px;
        background: none;
      }
      .news,
      .rest {
        display: flex;
        align-items: center;
        gap: 6px;
      }
      .news {
        margin-left: auto;
      }
      .filter {
        position: relative;
        display: flex;
        align-items: center;
        color: var(--soft);
      }
      .filter svg {
        position: absolute;
        left: 9px;
        pointer-events: none;
      }
      input {
        width: 150px;
        min-height: 32px;
        padding: 0 8px 0 30px;
        border: 1px solid var(--line);
        border-radius: 8px;
        background: var(--card);
        color: var(--text);
      }
      input::placeholder {
        color: var(--soft);
      }
      .count {
        color: var(--warn);
        border-color: var(--warn);
      }
      .badge {
        min-width: 20px;
        padding: 0 6px;
        border-radius: 99px;
        background: var(--accent);
        color: var(--on-accent);
        font-size: 12px;
        font-weight: 650;
        line-height: 20px;
        text-align: center;
        font-variant-numeric: tabular-nums;
      }
      @media (max-width: 900px) {
        .findings .word {
          display: none;
        }
      }
      .zone {
        font-size: 12.5px;
        min-width: 54px;
      }
      @media (max-width: 640px) {
        .bar {
          padding: 6px 12px;
          gap: 6px;
        }
        .news {
          margin-left: 0;
        }
        .rest {
          width: 100%;
        }
        .mark {
          flex: 1;
        }
        .filter,
        .keys {
          display: none;
        }
        .filter.used {
          display: flex;
        }
        .zone {
          min-width: 0;
          padding: 0 8px;
          margin-left: auto;
        }
      }
    `,
  ];

  constructor() {
    super();
    new Watching(this);
  }

  /** Put the text cursor into the filter. */
  search(): void {
    this.field.parentElement?.classList.add("used");
    this.field.focus();
    this.field.select();
  }

  /** The focus comes back to what opened the findings. */
  focusFindings(): void {
    this.renderRoot.querySelector<HTMLElement>(".findings")?.focus();
  }

  render(): TemplateResult {
    const { board } = this;
    const problems = board.problems.length;
    const open = board.findings.count === "0" ? "" : board.findings.count;
    const { choice } = board.theme;
    const icon = { system: icons.system, light: icons.sun, dark: icons.moon }[choice];
    return html`<header class="bar">
      <a class="mark" href="/" @click=${this.home} aria-label="Barograph, overview of ${board.dashboard?.title ?? "this host"}">
        <img src="/icon.svg" alt="" width="26" height="26" />
        <h1>${board.dashboard?.title ?? "Barograph"}</h1>
      </a>
      ${this.link()}
      <div class="news">
        ${problems
          ? html`<button class="button count" aria-label="${problems} problems"
              @click=${() => this.dispatchEvent(new Event("problems"))}>
              ${icons.warning}${problems}
            </button>`
          : nothing}
        <button class="button findings ${board.address.findings ? "on" : ""}"
          aria-expanded=${board.address.findings !== null}
          aria-label="Findings${open ? `, ${open} open` : ""}"
          title="Findings (f)"
          @click=${() => this.dispatchEvent(new Event("findings"))}>
          ${icons.finding}<span class="word">Findings</span>${open
            ? html`<span class="badge">${open}</span>`
            : nothing}
        </button>
        <span class="spoken" role="status">${open ? `${open} open findings` : ""}</span>
      </div>
      <div class="rest">
        <label class="filter ${board.address.filter ? "used" : ""}">
          ${icons.search}<span class="spoken">Filter charts</span>
          <input type="search" placeholder="Filter  /" .value=${board.address.filter}
            @input=${(event: Event) => board.setFilter((event.target as HTMLInputElement).value)} />
        </label>
        <barograph-range .board=${board}></barograph-range>
        <button
          class="button icon pause ${board.paused ? "on" : ""}"
          aria-pressed=${board.paused}
          aria-label=${board.paused ? "Go on" : "Pause"}
          title=${board.paused ? "Go on (space)" : "Pause (space)"}
          ?disabled=${board.range.kind !== "recent"}
          @click=${() => board.pause(!board.paused)}
        >
          ${board.paused ? icons.play : icons.pause}
        </button>
        <button class="button zone" title="Times in UTC or in this browser's zone (u)"
          aria-label="Times are ${board.utc ? "UTC" : "local"}; change"
          @click=${() => board.setUtc(!board.utc)}>
          ${board.utc ? "UTC" : "Local"}
        </button>
        <button class="button icon theme" title="Theme: ${choice} (t)" aria-label="Theme: ${choice}; change"
          @click=${() => board.theme.next()}>
          ${icon}
        </button>
        <button class="button icon keys" title="Keys (?)" aria-label="Keyboard shortcuts"
          @click=${() => this.dispatchEvent(new Event("shortcuts"))}>
          ${icons.keyboard}
        </button>
      </div>
    </header>`;
  }

  private link(): TemplateResult {
    const { board } = this;
    let [kind, text] = ["", "connecting"];
    if (board.signedOut) [kind, text] = ["lost", "signed out"];
    else if (board.link === "lost") [kind, text] = ["lost", "not connected"];
    else if (board.link === "open") {
      if (board.paused) text = "paused";
      else if (board.range.kind === "between") text = "connected";
      else [kind, text] = ["open", board.fewerPoints ? "live, fewer points" : "live"];
    }
    return html`<span class="link ${kind}" title=${board.fewerPoints
      ? "This browser is slow: the server leaves out points that it could not take."
      : ""}><span class="dot"></span>${text}</span>`;
  }

  private readonly home = (event: MouseEvent): void => {
    if (event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    if (this.board.address.view) this.board.open(null);
    scrollTo({ top: 0 });
  };
}

declare global {
  interface HTMLElementTagNameMap {
    "barograph-header": HeaderElement;
  }
}
