/** A widget of a plugin's own kind: its module is loaded, its element gets data, its faults stay here. */

import { LitElement, type TemplateResult, css, html, nothing } from "lit";
import { customElement, property, query, state } from "lit/decorators.js";

import type { Board } from "../board";
import type { Widget } from "../contract";
import { controls } from "./controls";
import { Sight } from "./sight";

/** What a plugin's element may rely on. */
export interface PluginElement extends HTMLElement {
  spec: Widget;
  /** What the widget's `data` gave for the range, null before the first answer. */
  data: unknown;
}

const EVERY_MS = 5_000;
const ELEMENT_NAME = /^[a-z][a-z0-9]*(-[a-z0-9]+)+$/;
const POINTS = 300;

@customElement("barograph-custom")
export class CustomElement extends LitElement {
  @property({ attribute: false }) board!: Board;
  @property({ attribute: false }) widget!: Widget;
  @state() private failure = "";
  @query(".place") private place!: HTMLElement;
  private element: PluginElement | null = null;
  private asked = 0;
  private asking = false;
  private loaded: Promise<void> | null = null;
  private readonly sight = new Sight(this, (seen) => seen && this.refresh(true));
  private readonly change = () => this.refresh(true);
  private readonly tick = () => this.refresh(false);

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
      .error {
        color: var(--bad);
      }
    `,
  ];

  connectedCallback(): void {
    super.connectedCallback();
    this.board.addEventListener("change", this.change);
    this.board.addEventListener("tick", this.tick);
  }

  disconnectedCallback(): void {
    super.disconnectedCallback();
    this.board.removeEventListener("change", this.change);
    this.board.removeEventListener("tick", this.tick);
  }

  render(): TemplateResult {
    return html`<article>
      <h3>${this.widget.title}</h3>
      ${this.widget.help ? html`<p>${this.widget.help}</p>` : nothing}
      ${this.failure
        ? html`<p class="error" role="alert">This widget failed: ${this.failure}</p>
            <button class="button" @click=${() => this.again()}>Try again</button>`
        : nothing}
      <div class="place"></div>
    </article>`;
  }

  private again(): void {
    this.failure = "";
    this.loaded = null;
    this.refresh(true);
  }

  private refresh(now: boolean): void {
    if (!this.sight.seen || this.asking || this.failure) return;
    if (!now && performance.now() - this.asked < EVERY_MS) return;
    this.asking = true;
    this.asked = performance.now();
    void this.fetch().finally(() => (this.asking = false));
  }

  private async fetch(): Promise<void> {
    try {
      await (this.loaded ??= this.load());
      const [from, to] = this.board.window;
      const data = await this.board.server.widget(this.widget.id, Math.round(from), Math.round(to), POINTS);
      if (this.element) this.element.data = data;
    } catch (error) {
      this.failure = error instanceof Error ? error.message : String(error);
    }
  }

  private async load(): Promise<void> {
    const { kind, module } = this.widget;
    if (!ELEMENT_NAME.test(kind)) throw new Error(`"${kind}" is no name of a custom element`);
    const address = new URL(module, location.origin);
    if (address.origin !== location.origin || !address.pathname.startsWith("/plugins/")) {
      throw new Error("its module is not a file of its plugin");
    }
    await import(/* @vite-ignore */ address.pathname);
    if (!customElements.get(kind)) throw new Error(`${address.pathname} does not define <${kind}>`);
    await this.updateComplete;
    const element = document.createElement(kind) as PluginElement;
    element.spec = this.widget;
    element.data = null;
    this.element = element;
    this.place.replaceChildren(element);
  }
}
