/** A tile of the overview: one number with its unit, and how it went. */

import { LitElement, type PropertyValues, type TemplateResult, css, html, nothing } from "lit";
import { customElement, property, query } from "lit/decorators.js";

import type { Board } from "../board";
import type { Value, Widget } from "../contract";
import { faded, look } from "../palette";
import type { Panel } from "../panel";
import { scaleFor } from "../scale";
import { summary } from "../stack";
import { format, quantity } from "../units";
import { controls, icons } from "./controls";
import { Sight } from "./sight";
import { Watching } from "./watching";

@customElement("barograph-tile")
export class TileElement extends LitElement {
  @property({ attribute: false }) board!: Board;
  @property({ attribute: false }) widget!: Widget;
  @query("canvas") private canvas!: HTMLCanvasElement;
  private panel: Panel | null = null;
  private shown = false;
  private unlisten: (() => void) | null = null;
  private width = 0;
  private height = 0;
  private readonly sight = new Sight(this, () => this.place());
  private readonly sizes = new ResizeObserver((entries) => {
    const box = entries[0]?.contentRect;
    this.width = Math.floor(box?.width ?? 0);
    this.height = Math.floor(box?.height ?? 0);
    this.paint();
  });

  static styles = [
    controls,
    css`
      :host {
        display: block;
        min-width: 0;
      }
      a {
        position: relative;
        display: flex;
        flex-direction: column;
        height: 100%;
        min-height: 104px;
        padding: 10px 12px 0;
        overflow: hidden;
        background: var(--card);
        border: 1px solid var(--line);
        border-radius: var(--radius);
        box-shadow: var(--shadow);
        color: inherit;
        text-decoration: none;
      }
      a:hover {
        border-color: var(--line-strong);
      }
      .name {
        color: var(--soft);
        font-size: 12.5px;
        font-weight: 600;
        white-space: nowrap;
        overflow: hidden;
        text-overflow: ellipsis;
      }
      .value {
        display: flex;
        align-items: baseline;
        gap: 4px;
        font-size: 27px;
        font-weight: 650;
        letter-spacing: -0.02em;
        line-height: 1.2;
        font-variant-numeric: tabular-nums;
        white-space: nowrap;
      }
      .unit {
        font-size: 14px;
        font-weight: 550;
        letter-spacing: 0;
        color: var(--soft);
      }
      .judged {
        display: inline-flex;
        align-items: center;
        gap: 4px;
        margin-left: auto;
        font-size: 12px;
        font-weight: 600;
        letter-spacing: 0;
      }
      .warn .judged,
      .warn .number {
        color: var(--warn);
      }
      .critical .judged,
      .critical .number {
        color: var(--bad);
      }
      canvas {
        display: block;
        height: 44px;
        width: calc(100% + 24px);
        margin: auto -12px 0;
      }
      .lost canvas {
        filter: grayscale(1);
        opacity: 0.5;
      }
      .failed {
        color: var(--bad);
        font-size: 12px;
        padding-bottom: 10px;
        overflow-wrap: anywhere;
      }
      @media (max-width: 640px) {
        a {
          min-height: 72px;
          padding: 7px 10px 0;
        }
        .name {
          font-size: 12px;
        }
        .value {
          font-size: 20px;
        }
        .unit {
          font-size: 12px;
        }
        canvas {
          height: 24px;
          width: calc(100% + 20px);
          margin: auto -10px 0;
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
    if (this.hasUpdated) this.sizes.observe(this.canvas);
    this.requestUpdate();
  }

  disconnectedCallback(): void {
    super.disconnectedCallback();
    this.sizes.disconnect();
    this.unlisten?.();
    this.unlisten = this.panel = null;
    this.shown = false;
  }

  protected willUpdate(): void {
    const panel = this.board.panel(this.widget);
    if (panel === this.panel) return;
    if (this.panel && this.shown) this.board.hide(this.panel);
    this.shown = false;
    this.unlisten?.();
    this.panel = panel;
    this.unlisten = panel.listen(() => this.requestUpdate());
    this.place();
  }

  protected firstUpdated(): void {
    this.sizes.observe(this.canvas);
  }

  protected updated(_: PropertyValues): void {
    this.paint();
  }

  render(): TemplateResult {
    const { board, widget, panel } = this;
    if (!panel) return html``;
    const value = this.value();
    const { number, unit } = quantity(value, widget.unit);
    const judged = this.judge(value);
    const line = panel.lines[0];
    const found = line ? summary(line.values) : null;
    const range = found ? `, from ${format(found.min, widget.unit)} to ${format(found.max, widget.unit)}` : "";
    const classes = `${judged} ${board.link === "lost" && board.live ? "lost" : ""}`;
    return html`<a
      class=${classes}
      href="/?view=${encodeURIComponent(widget.id)}"
      title="${widget.help}${widget.bad ? `\nWhat is bad: ${widget.bad}` : ""}"
      @click=${this.open}
    >
      <span class="name">${widget.title}</span>
      <span class="value">
        <span class="number">${number}</span><span class="unit">${unit}</span>
        ${judged
          ? html`<span class="judged">${icons.warning}${judged === "warn" ? "high" : "critical"}</span>`
          : nothing}
      </span>
      ${panel.state === "error" ? html`<span class="failed">${panel.error}</span>` : nothing}
      <span class="spoken">${range}</span>
      <canvas aria-hidden="true"></canvas>
    </a>`;
  }

  private value(): Value {
    const line = this.panel?.lines[0];
    return line && this.panel ? this.panel.now(line) : null;
  }

  /** Only a widget that names its limits is judged: a busy CPU is no fault. */
  private judge(value: Value): "" | "warn" | "critical" {
    const { warn, critical } = this.widget.options;
    if (value === null) return "";
    if (typeof critical === "number" && value >= critical) return "critical";
    return typeof warn === "number" && value >= warn ? "warn" : "";
  }

  private place(): void {
    if (!this.panel || this.sight.seen === this.shown) return;
    this.shown = this.sight.seen;
    if (this.shown) this.board.show(this.panel);
    else this.board.hide(this.panel);
  }

  private paint(): void {
    const { canvas, panel, width, height, board } = this;
    if (!canvas || !panel || !width || !height) return;
    const ratio = devicePixelRatio;
    if (canvas.width !== width * ratio || canvas.height !== height * ratio) {
      canvas.width = width * ratio;
      canvas.height = height * ratio;
    }
    const pen = canvas.getContext("2d");
    if (!pen) return;
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    const line = panel.lines[0];
    if (!line || panel.state !== "ready") return;
    const { min: low, max: high } = summary(line.values);
    const { unit, minimum, maximum } = this.widget;
    const scale = scaleFor(low, high, unit, minimum ?? (low !== null && low >= 0 ? 0 : null), maximum, 80);
    const [from, to] = board.window;
    const x = (time: number) => ((time - from) / (to - from)) * width;
    const y = (value: number) =>
      height - 1 - ((value - scale.min) / (scale.max - scale.min || 1)) * (height - 4);
    const { color } = look(0, board.theme.dark);
    const stroke = new Path2D();
    const fill = new Path2D();
    let start: number | null = null;
    let end = 0;
    const close = (): void => {
      if (start === null) return;
      fill.lineTo(end, height);
      fill.lineTo(start, height);
      fill.closePath();
      start = null;
    };
    line.values.forEach((value, i) => {
      if (value === null) {
        close();
        return;
      }
      end = x(panel.t[i]!);
      if (start === null) {
        start = end;
        stroke.moveTo(end, y(value));
        stroke.lineTo(end, y(value)); // a point of its own is a dot
        fill.moveTo(end, y(value));
      } else {
        stroke.lineTo(end, y(value));
        fill.lineTo(end, y(value));
      }
    });
    close();
    pen.fillStyle = faded(color, board.theme.dark ? 0.2 : 0.14);
    pen.fill(fill);
    pen.strokeStyle = color;
    pen.lineWidth = 1.5;
    pen.lineJoin = pen.lineCap = "round";
    pen.stroke(stroke);
  }

  private readonly open = (event: MouseEvent): void => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    this.board.open({ widget: this.widget.id, by: "", where: [], line: null, ref: null });
  };
}
