/** One uPlot: lines or a stack over time, with a cursor that all charts share. */

import uPlot from "uplot";

import type { Value } from "./contract";
import { type Mark, drawMarks } from "./marks";
import { faded, look } from "./palette";
import type { Line } from "./panel";
import { type Scale, scaleFor, ticksOf } from "./scale";
import { stacked } from "./stack";
import { tick } from "./timetext";
import { ticks } from "./units";

export interface Frame {
  t: number[];
  lines: Line[];
  from: number;
  to: number;
  width: number;
  height: number;
  unit: string;
  minimum: number | null;
  maximum: number | null;
  stack: boolean;
  dark: boolean;
  utc: boolean;
  hidden: ReadonlySet<string>;
  /** The line to bring forward, "" for none. */
  focus: string;
  /** Draw the band between least and most of each step. */
  band: boolean;
  marks: readonly Mark[];
}

export interface PlotEvents {
  cursor(index: number | null): void;
  zoom(from: number, to: number): void;
  back(): void;
}

const AXIS_WIDTH = 62;
const DAY_S = 86_400;
const TIME_STEPS = [
  1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200,
  DAY_S, 2 * DAY_S, 5 * DAY_S, 7 * DAY_S, 14 * DAY_S, 28 * DAY_S, 91 * DAY_S, 365 * DAY_S,
].map((seconds) => seconds * 1000);
const FONT = "11px system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif";

export class Plot {
  private plot: uPlot | null = null;
  private shape = "";
  private scale: Scale = { min: 0, max: 1, step: 1 };
  private frame!: Frame;
  private dragging = false;

  constructor(
    private readonly host: HTMLElement,
    private readonly events: PlotEvents,
  ) {}

  /** Draw; the chart is built anew only if its lines or colours change. */
  draw(frame: Frame): void {
    this.frame = frame;
    const lines = this.shown();
    const shape = JSON.stringify([
      lines.map((line) => [line.key, line.slot]),
      frame.stack, frame.dark, frame.utc, frame.unit, frame.band, frame.focus, frame.height,
    ]);
    const data = this.data(lines);
    if (!this.plot || (shape !== this.shape && !this.dragging)) {
      const left = this.plot?.cursor.left ?? -1;
      const top = this.plot?.cursor.top ?? -1;
      this.plot?.destroy();
      this.plot = new uPlot(this.options(lines), data, this.host);
      this.shape = shape;
      if (left >= 0) this.plot.setCursor({ left, top }, false);
      return;
    }
    if (shape !== this.shape) return;
    const plot = this.plot;
    if (plot.width !== frame.width) plot.setSize({ width: frame.width, height: frame.height });
    plot.batch(() => {
      plot.setData(data, false);
      plot.setScale("x", { min: frame.from, max: frame.to });
    });
  }

  /** Put the shared cursor on a point, as the mouse would. */
  moveTo(index: number | null): void {
    const plot = this.plot;
    if (!plot) return;
    const set = plot.setCursor as (at: object, fire: boolean, share: boolean) => void;
    if (index === null) {
      set({ left: -10, top: -10 }, true, true);
      return;
    }
    const time = plot.data[0][index];
    if (time === undefined) return;
    set({ left: plot.valToPos(time, "x"), top: plot.over.clientHeight / 2 }, true, true);
  }

  destroy(): void {
    this.plot?.destroy();
    this.plot = null;
    this.shape = "";
  }

  private shown(): Line[] {
    return this.frame.lines.filter((line) => !this.frame.hidden.has(line.key));
  }

  private data(lines: Line[]): uPlot.AlignedData {
    const { t, stack, band } = this.frame;
    const values = lines.map((line) => line.values);
    if (stack) return [t, ...stacked(values, t.length)] as uPlot.AlignedData;
    if (!band) return [t, ...values] as uPlot.AlignedData;
    const empty = (): Value[] => t.map(() => null);
    const edges = lines.flatMap((line) => [line.max ?? empty(), line.min ?? empty()]);
    return [t, ...values, ...edges] as uPlot.AlignedData;
  }

  private options(lines: Line[]): uPlot.Options {
    const { frame } = this;
    const grid = frame.dark ? "#ffffff12" : "#0000000f";
    const text = frame.dark ? "#9fb0c0" : "#536170";
    const series: uPlot.Series[] = [{}];
    const bands: uPlot.Band[] = [];
    lines.forEach((line, i) => {
      const { color, dash } = look(line.slot, frame.dark);
      const dim = frame.focus !== "" && frame.focus !== line.key;
      const stroke = dim ? faded(color, 0.25) : color;
      const alone = lines.length === 1;
      const one: uPlot.Series = {
        stroke,
        width: frame.focus === line.key ? 2.25 : frame.stack ? 1.25 : 1.6,
        dash,
        points: { show: false, filter: lonely, size: 4, fill: stroke },
      };
      const alpha = dim ? 0.12 : frame.dark ? 0.4 : 0.34;
      if (frame.stack) {
        if (i === 0) one.fill = faded(color, alpha);
        else bands.push({ series: [i + 1, i], fill: faded(color, alpha) });
      } else if (alone && !frame.band) {
        one.fill = (plot) => gradient(plot, color);
      }
      series.push(one);
    });
    if (frame.band && !frame.stack) {
      lines.forEach((line, i) => {
        const at = 1 + lines.length + 2 * i;
        for (let edge = 0; edge < 2; edge += 1) series.push({ width: 0, points: { show: false } });
        bands.push({ series: [at, at + 1], fill: faded(look(line.slot, frame.dark).color, 0.16) });
      });
    }
    const axis = { stroke: text, font: FONT, ticks: { show: false }, grid: { stroke: grid, width: 1 } };
    return {
      width: frame.width,
      height: frame.height,
      ms: 1,
      series,
      bands,
      tzDate: (time) => (this.frame.utc ? uPlot.tzDate(new Date(time), "Etc/UTC") : new Date(time)),
      padding: [8, 10, 0, 0],
      legend: { show: false },
      scales: {
        x: { time: true, range: () => [this.frame.from, this.frame.to] },
        y: { range: (_, low, high) => this.bounds(low, high) },
      },
      axes: [
        {
          ...axis,
          size: 24,
          gap: 4,
          space: 74,
          incrs: TIME_STEPS,
          values: (_, splits, __, ___, step) =>
            splits.map((time) => tick(time, step, this.frame.utc)),
        },
        {
          ...axis,
          size: AXIS_WIDTH,
          gap: 6,
          splits: () => ticksOf(this.scale),
          values: (_, splits) => ticks(splits, this.frame.unit),
        },
      ],
      cursor: {
        y: false,
        drag: { x: true, y: false, setScale: false, dist: 6 },
        points: { size: 7, width: 1.5, show: lines.length <= 16 },
        sync: {
          key: "page",
          setSeries: false,
          scales: ["x", null],
          filters: { pub: (type) => type === "mousemove" || type === "mouseleave" },
        },
        bind: {
          mousedown: (_, __, handler) => (event) => {
            this.dragging = true;
            addEventListener("mouseup", () => (this.dragging = false), { once: true });
            handler(event);
            return null;
          },
          dblclick: () => () => {
            this.events.back();
            return null;
          },
        },
      },
      hooks: {
        drawClear: [(plot) => drawMarks(plot, this.frame.marks, this.frame.dark)],
        setCursor: [(plot) => this.events.cursor(within(plot) ? (plot.cursor.idx ?? null) : null)],
        setSelect: [
          (plot) => {
            const { left, width } = plot.select;
            if (width < 6) return;
            const [from, to] = [plot.posToVal(left, "x"), plot.posToVal(left + width, "x")];
            plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
            this.dragging = false;
            this.events.zoom(from, to);
          },
        ],
      },
    };
  }

  private bounds(low: number | null, high: number | null): [number, number] {
    const { unit, minimum, maximum, height } = this.frame;
    this.scale = scaleFor(low, high, unit, minimum, maximum, height - 40);
    return [this.scale.min, this.scale.max];
  }
}

function within(plot: uPlot): boolean {
  return (plot.cursor.left ?? -1) >= 0;
}

/** Points without a neighbour: no line would show them. */
function lonely(plot: uPlot, at: number): number[] | null {
  const values = plot.data[at] as Value[];
  const out: number[] = [];
  for (let i = 0; i < values.length; i += 1) {
    if (values[i] === null || values[i] === undefined) continue;
    const left = values[i - 1] ?? null;
    const right = values[i + 1] ?? null;
    if (left === null && right === null) out.push(i);
  }
  return out.length ? out : null;
}

function gradient(plot: uPlot, color: string): CanvasGradient | string {
  const { top, height } = plot.bbox;
  if (!Number.isFinite(height) || height <= 0) return faded(color, 0.15);
  const out = plot.ctx.createLinearGradient(0, top, 0, top + height);
  out.addColorStop(0, faded(color, 0.34));
  out.addColorStop(1, faded(color, 0.03));
  return out;
}
