/** The list of sections; the one in sight is marked. */

import { LitElement, type TemplateResult, css, html } from "lit";
import { customElement, property, state } from "lit/decorators.js";

import { controls } from "./controls";

/** Dispatches `jump` (detail: a section's name). */
@customElement("barograph-contents")
export class ContentsElement extends LitElement {
  @property({ attribute: false }) names: string[] = [];
  @property({ attribute: false }) headings: () => HTMLElement[] = () => [];
  @state() private current = "";
  private waiting = 0;
  private readonly follow = (): void => {
    this.waiting ||= requestAnimationFrame(() => {
      this.waiting = 0;
      const passed = this.headings().filter((one) => one.getBoundingClientRect().top < 170);
      this.current = passed[passed.length - 1]?.dataset.section ?? this.names[0] ?? "";
    });
  };

  static styles = [
    controls,
    css`
      :host {
        display: block;
      }
      nav {
        display: flex;
        flex-direction: column;
        gap: 1px;
      }
      a {
        display: flex;
        align-items: center;
        min-height: 30px;
        padding: 0 12px;
        border-left: 2px solid var(--line);
        color: var(--soft);
        text-decoration: none;
        font-size: 13px;
        white-space: nowrap;
      }
      a:hover {
        color: var(--text);
      }
      a[aria-current="true"] {
        color: var(--accent);
        border-color: var(--accent);
        font-weight: 600;
      }
      @media (max-width: 1279px) {
        nav {
          flex-direction: row;
          overflow-x: auto;
          scrollbar-width: none;
          gap: 4px;
          padding: 4px;
          margin: -4px;
        }
        a {
          min-height: 28px;
          border: 1px solid var(--line);
          border-radius: 99px;
          background: var(--card);
        }
        a[aria-current="true"] {
          background: var(--accent-soft);
        }
      }
    `,
  ];

  connectedCallback(): void {
    super.connectedCallback();
    addEventListener("scroll", this.follow, { passive: true });
    this.follow();
  }

  disconnectedCallback(): void {
    super.disconnectedCallback();
    removeEventListener("scroll", this.follow);
  }

  render(): TemplateResult {
    return html`<nav aria-label="Sections">
      ${this.names.map(
        (name) => html`<a href="#${encodeURIComponent(name)}"
          aria-current=${name === (this.current || this.names[0])}
          @click=${(event: Event) => {
            event.preventDefault();
            this.dispatchEvent(new CustomEvent("jump", { detail: name }));
          }}>${name}</a>`,
      )}
    </nav>`;
  }
}
