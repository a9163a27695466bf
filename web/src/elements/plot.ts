/** A chart's drawing area with its four states, its keys, and its words for those who cannot see. */

import { LitElement, type PropertyValues, type TemplateResult, css, html, nothing, unsafeCSS } from "lit";
import { customElement, property, query, state } from "lit/decorators.js";
import uplotStyles from "uplot/dist/uPlot.min.css?inline";

import type { Board } from "../board";
import type { Mark } from "../marks";
import type { Panel } from "../panel";
import { Plot } from "../plot";
import { summary, trend } from "../stack";
import { full, moment } from "../timetext";
import { format } from "../units";
import { controls } from "./controls";
import { Sight } from "./sight";
import { Watching } from "./watching";

const NONE: ReadonlySet<string> = new Set();
const UNMARKED: readonly Mark[] = [];
const COARSE_STEP_MS = 30_000;
const COARSE_DRAW_MS = 5_000;
const SPOKEN_LINES = 6;

/**
 * Dispatches `cursor` (detail: index into the panel's times, or null), `enlarge`, and `again` if
 * data of a range of its own are to be loaded once more.
 */
@customElement("barograph-plot")
export class PlotElement extends LitElement {
  @property({ attribute: false }) board!: Board;
  @property({ attribute: false }) panel!: Panel;
  @property({ attribute: false }) hiddenLines: ReadonlySet<string> = NONE;
  @property() focusLine = "";
  @property({ type: Number }) height = 168;
  @property({ attribute: false }) marks: readonly Mark[] = UNMARKED;
  /** A range of its own whose data somebody else loads; without it the page's. */
  @property({ attribute: false }) own: readonly [number, number] | null = null;
  @state() private spoken = "";
  @state() private told = "";
  @query(".draw") private area!: HTMLElement;
  private plot: Plot | null = null;
  private width = 0;
  private drawing = 0;
  private drawnAt = 0;
  private drawnState = "";
  private index: number | null = null;
  /** The time (ms) that the arrow keys read last: points move on under a live chart. */
  private readAt: number | null = null;
  private unlisten: (() => void) | null = null;
  private shown: Panel | null = null;
  private readonly sight = new Sight(this, () => this.place());
  private readonly sizes = new ResizeObserver((entries) => {
    const width = Math.floor(entries[0]?.contentRect.width ?? 0);
    if (width && width !== this.width) {
      this.width = width;
      this.draw(true);
    }
  });

  static styles = [
    unsafeCSS(uplotStyles),
    controls,
    css`
      :host {
        display: block;
        position: relative;
      }
      .draw {
        position: relative;
        overflow: hidden;
        border-radius: 6px;
      }
      .draw:focus-visible {
        outline-offset: 0;
      }
      .lost .uplot {
        filter: grayscale(1);
        opacity: 0.5;
      }
      .u-over {
        cursor: crosshair;
      }
      .u-hz .u-cursor-x {
        border-right: 1px solid var(--cursor);
        opacity: 0.7;
      }
      .u-select {
        background: var(--select);
        border-left: 1px solid var(--accent);
        border-right: 1px solid var(--accent);
      }
      .state {
        position: absolute;
        inset: 0;
        display: flex;
        flex-direction: column;
        align-items: center;
        justify-content: center;
        gap: 10px;
        padding: 8px 16px;
        text-align: center;
        color: var(--soft);
      }
      .state.error {
        color: var(--bad);
      }
      .state p {
        margin: 0;
        max-width: 46ch;
        overflow-wrap: anywhere;
      }
      .skeleton {
        position: absolute;
        inset: 12px 10px 26px 62px;
        display: flex;
        align-items: flex-end;
        gap: 3%;
      }
      .skeleton i {
        flex: 1;
        border-radius: 4px 4px 0 0;
        background: var(--line);
        opacity: 0.55;
      }
      .skeleton i:nth-child(3n) {
        height: 55%;
      }
      .skeleton i:nth-child(3n + 1) {
        height: 32%;
      }
      .skeleton i:nth-child(3n + 2) {
        height: 44%;
      }
      @media (prefers-reduced-motion: no-preference) {
        .skeleton i {
          animation: breathe 1.4s ease-in-out infinite alternate;
        }
        @keyframes breathe {
          to {
            opacity: 0.25;
          }
        }
      }
    `,
  ];

  constructor() {
    super();
    new Watching(this);
    this.addEventListener("keydown", (event) => this.key(event));
  }

  disconnectedCallback(): void {
    super.disconnectedCallback();
    this.sizes.disconnect();
    this.unlisten?.();
    this.unlisten = null;
    this.shown = null;
    this.plot?.destroy();
    this.plot = null;
  }

  connectedCallback(): void {
    super.connectedCallback();
    if (this.hasUpdated) {
      this.sizes.observe(this.area);
      this.place();
    }
  }

  protected firstUpdated(): void {
    this.area.style.height = `${this.height}px`;
    this.sizes.observe(this.area);
  }

  protected updated(changed: PropertyValues): void {
    if (changed.has("panel")) this.place();
    if (changed.has("height")) this.area.style.height = `${this.height}px`;
    this.draw(true);
  }

  render(): TemplateResult {
    const { panel, board } = this;
    return html`<div
        class="draw ${board.link === "lost" && board.range.kind === "recent" ? "lost" : ""}"
        tabindex="0"
        role="group"
        aria-roledescription="chart"
        aria-label=${panel.widget.title}
        aria-describedby="summary"
        @focus=${() => (this.told = this.words())}
        @blur=${() => this.leave()}
        @pointermove=${() => (this.readAt = null)}
      ></div>
      ${this.overlay()}
      <p id="summary" class="spoken">${this.told}</p>
      <p class="spoken" role="status" aria-live="polite">${this.spoken}</p>`;
  }

  private overlay(): TemplateResult | typeof nothing {
    const { panel, board } = this;
    switch (panel.state) {
      case "loading":
        return html`<div class="skeleton" role="img" aria-label="loading">
          ${Array.from({ length: 14 }, () => html`<i></i>`)}
        </div>`;
      case "waiting":
        return html`<div class="state">
          <p>No data yet. If this machine has it, the first point comes within seconds.</p>
        </div>`;
      case "nothing":
        if (this.own) {
          return html`<div class="state"><p>No data in this range: perhaps it is too old by now.</p></div>`;
        }
        return html`<div class="state">
          <p>No data in this range.</p>
          <button class="button" @click=${() => board.goLive()}>Go to live</button>
        </div>`;
      case "error":
        return html`<div class="state error" role="alert">
          <p>This chart failed: ${panel.error}</p>
          <button class="button" @click=${() => this.again()}>Try again</button>
        </div>`;
      default:
        return nothing;
    }
  }

  private again(): void {
    if (this.own) this.dispatchEvent(new Event("again"));
    else this.board.again(this.panel);
  }

  /** In or out of sight, or another panel: who gets data. */
  private place(): void {
    if (!this.board || !this.panel) return;
    if (this.shown && (this.shown !== this.panel || !this.sight.seen)) {
      if (!this.own) this.board.hide(this.shown);
      this.unlisten?.();
      this.unlisten = this.shown = null;
    }
    if (this.sight.seen && !this.shown) {
      this.shown = this.panel;
      this.unlisten = this.panel.listen(() => this.draw(false));
      if (!this.own) this.board.show(this.panel);
    }
    this.draw(true);
  }

  private draw(now: boolean): void {
    if (this.panel.state !== this.drawnState) {
      this.drawnState = this.panel.state;
      this.told = this.words();
      this.requestUpdate();
    }
    const coarse = this.panel.step >= COARSE_STEP_MS;
    if (!now && coarse && performance.now() - this.drawnAt < COARSE_DRAW_MS) return;
    if (this.drawing || !this.width || !this.sight.seen) return;
    this.drawing = requestAnimationFrame(() => {
      this.drawing = 0;
      this.paint();
    });
  }

  private paint(): void {
    if (!this.isConnected) return;
    const { panel, board } = this;
    if (panel.state !== "ready") {
      this.plot?.destroy();
      this.plot = null;
      return;
    }
    this.drawnAt = performance.now();
    this.plot ??= new Plot(this.area, {
      cursor: (index) => this.cursor(index),
      zoom: (from, to) => board.zoomTo(from, to),
      back: () => board.zoomBack(),
    });
    const [from, to] = this.range;
    const { widget } = panel;
    try {
      this.plot.draw({
        t: panel.t, lines: panel.lines, from, to, width: this.width, height: this.height,
        unit: widget.unit, minimum: widget.minimum, maximum: widget.maximum, stack: widget.stacked,
        dark: board.theme.dark, utc: board.utc, hidden: this.hiddenLines, focus: this.focusLine,
        marks: this.marks,
        band: panel.level > 0 && panel.lines.length <= 3 && panel.lines.some((line) => line.max),
      });
    } catch (error) {
      this.plot.destroy();
      this.plot = null;
      panel.fail(error instanceof Error ? error.message : String(error));
    }
  }

  private cursor(index: number | null): void {
    if (index === this.index && index === null) return;
    this.index = index;
    this.dispatchEvent(new CustomEvent("cursor", { detail: index }));
  }

  // --- keys and words -------------------------------------------------------------------------

  private key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { panel, board } = this;
    const last = panel.t.length - 1;
    const step = event.shiftKey ? 10 : 1;
    const read = this.readAt === null ? -1 : panel.t.findIndex((time) => time >= this.readAt!);
    const at = read >= 0 ? read : (this.index ?? last + (event.key === "ArrowLeft" ? 1 : 0));
    const steps: Record<string, number> = {
      ArrowLeft: at - step,
      ArrowRight: at + step,
      Home: 0,
      End: last,
    };
    const to = steps[event.key];
    if (to !== undefined && last >= 0) {
      this.read(Math.max(0, Math.min(last, to)));
    } else if (event.key === "+" || event.key === "=") {
      board.zoomBy(0.5);
    } else if (event.key === "-") {
      board.zoomBy(2);
    } else if (event.key === "," || event.key === ".") {
      board.moveBy(event.key === "," ? -0.5 : 0.5);
    } else if (event.key === "Backspace") {
      board.zoomBack();
    } else if (event.key === "Enter") {
      this.dispatchEvent(new Event("enlarge"));
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  }

  private get range(): readonly [number, number] {
    return this.own ?? this.board.window;
  }

  private read(index: number): void {
    const { panel, board } = this;
    this.plot?.moveTo(index);
    this.index = index;
    this.readAt = panel.t[index] ?? null;
    this.dispatchEvent(new CustomEvent("cursor", { detail: index }));
    const [from, to] = this.range;
    const values = [...panel.lines]
      .sort((a, b) => (b.values[index] ?? 0) - (a.values[index] ?? 0))
      .slice(0, SPOKEN_LINES)
      .map((line) => `${line.legend} ${format(line.values[index], panel.widget.unit)}`);
    this.spoken = `${moment(panel.t[index]!, panel.step, to - from, board.utc)}: ${values.join(", ")}`;
  }

  private leave(): void {
    this.readAt = null;
    this.spoken = "";
    this.plot?.moveTo(null);
  }

  /** One sentence: last, lowest, highest, trend of the largest lines. */
  private words(): string {
    const { panel, board } = this;
    const { unit, help } = panel.widget;
    if (panel.state === "nothing" || panel.state === "waiting") return `${help} No data.`;
    if (panel.state !== "ready") return help;
    const lines = panel.lines
      .map((line) => ({ line, found: summary(line.values) }))
      .sort((a, b) => (b.found.mean ?? 0) - (a.found.mean ?? 0))
      .slice(0, 3)
      .map(({ line, found }) => {
        const [last, low, high] = [found.last, found.min, found.max].map((v) => format(v, unit));
        return `${line.legend} ${last}, from ${low} to ${high}, ${trend(line.values)}`;
      });
    const until = full(panel.t[panel.t.length - 1] ?? 0, board.utc).slice(0, 19);
    const more = panel.lines.length > 3 ? `; ${panel.lines.length - 3} more lines` : "";
    return `${help} Until ${until}: ${lines.join("; ")}${more}. Arrow keys read values, Enter enlarges.`;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "barograph-plot": PlotElement;
  }
}
