/** What the viewer must know at once: connection lost, signed out, slow, problems. */

import { LitElement, type TemplateResult, css, html, nothing } from "lit";
import { customElement, property, state } from "lit/decorators.js";

import type { Board } from "../board";
import type { Problem } from "../contract";
import { length } from "../timetext";
import { controls, icons } from "./controls";
import { Watching } from "./watching";

@customElement("barograph-banner")
export class BannerElement extends LitElement {
  @property({ attribute: false }) board!: Board;
  @property({ type: Boolean }) open = true;
  @state() private now = Date.now();
  private timer = 0;

  static styles = [
    controls,
    css`
      :host {
        display: block;
        padding: 0 20px;
      }
      section {
        display: flex;
        align-items: center;
        flex-wrap: wrap;
        gap: 6px 12px;
        margin-top: 12px;
        padding: 9px 14px;
        border: 1px solid;
        border-radius: var(--radius);
        background: var(--warn-soft);
        border-color: var(--warn);
      }
      section.bad {
        background: var(--bad-soft);
        border-color: var(--bad);
      }
      .glyph {
        color: var(--warn);
      }
      .bad .glyph {
        color: var(--bad);
      }
      p {
        flex: 1;
        min-width: 220px;
        margin: 0;
        overflow-wrap: anywhere;
      }
      .remedy {
        color: var(--soft);
      }
      @media (max-width: 640px) {
        :host {
          padding: 0 12px;
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
    this.timer = window.setInterval(() => {
      if (this.board.link === "lost") this.now = Date.now();
    }, 1000);
  }

  disconnectedCallback(): void {
    super.disconnectedCallback();
    clearInterval(this.timer);
  }

  render(): TemplateResult {
    const { board } = this;
    return html`${board.signedOut ? this.signedOut() : board.link === "lost" ? this.lost() : nothing}
    ${board.failure && board.link !== "lost" && !board.signedOut
      ? html`<section class="bad" role="alert">
          ${icons.warning}
          <p>The page could not be loaded: ${board.failure}.</p>
          <button class="button" @click=${() => void board.loadDashboard()}>Try again</button>
        </section>`
      : nothing}
    ${this.open ? board.problems.map((problem) => this.problem(problem)) : nothing}`;
  }

  private lost(): TemplateResult {
    const { board } = this;
    const age = Math.max(0, board.serverNow - board.edge, this.now - board.lostAt);
    return html`<section class="bad lost" role="alert">
      ${icons.warning}
      <p><strong>Connection lost.</strong> What you see is <span aria-live="off">${length(age)}</span>
        old. Trying again by itself; what is missed is filled in afterwards.</p>
      <button class="button" @click=${() => board.connection.retry()}>Try now</button>
    </section>`;
  }

  private signedOut(): TemplateResult {
    return html`<section class="bad" role="alert">
      ${icons.warning}
      <p><strong>Signed out.</strong> The server has started anew or the session has ended. Open
        the address that the server printed, or sign in with its token.</p>
      <a class="button" href="/login">Sign in</a>
    </section>`;
  }

  private problem(problem: Problem): TemplateResult {
    return html`<section class="problem" role="status">
      ${icons.warning}
      <p><strong>${problem.where}:</strong> ${problem.what}
        ${problem.remedy ? html`<span class="remedy">– ${problem.remedy}</span>` : nothing}</p>
      <button class="button bare icon" aria-label="Dismiss: ${problem.where}"
        @click=${() => this.board.dismiss(problem)}>${icons.close}</button>
    </section>`;
  }
}
