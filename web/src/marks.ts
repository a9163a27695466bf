/** Spans of time that charts bring out: findings, drawn behind the lines. */

import uPlot from "uplot";

import type { Severity } from "./contract";
import { faded, severityColor } from "./palette";

export interface Mark {
  from: number;
  to: number;
  severity: Severity;
}

const SHAPE_PX = 4;

/** Spans as bands with firm edges and, at the top, the shape of their severity. */
export function drawMarks(plot: uPlot, marks: readonly Mark[], dark: boolean): void {
  if (!marks.length) return;
  const { ctx, bbox } = plot;
  const ratio = uPlot.pxRatio;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  for (const { from, to, severity } of marks) {
    const color = severityColor(severity, dark);
    const middle = (plot.valToPos(from, "x", true) + plot.valToPos(to, "x", true)) / 2;
    const width = Math.max(plot.valToPos(to, "x", true) - plot.valToPos(from, "x", true), 2 * ratio);
    const left = middle - width / 2;
    ctx.fillStyle = faded(color, dark ? 0.2 : 0.13);
    ctx.fillRect(left, bbox.top, width, bbox.height);
    ctx.fillStyle = faded(color, 0.75);
    for (const edge of [left, left + width - ratio]) ctx.fillRect(edge, bbox.top, ratio, bbox.height);
    // The part that is in sight, so that a band that began long ago has its shape too.
    const [a, b] = [Math.max(left, bbox.left), Math.min(left + width, bbox.left + bbox.width)];
    if (b < a) continue;
    const room = (SHAPE_PX + 2) * ratio;
    const x = Math.min(Math.max((a + b) / 2, bbox.left + room), bbox.left + bbox.width - room);
    shape(ctx, severity, x, bbox.top + room, SHAPE_PX * ratio);
    ctx.fillStyle = color;
    ctx.fill();
  }
  ctx.restore();
}

/** A disc, a triangle or a square on its corner: told apart without colour. */
function shape(ctx: CanvasRenderingContext2D, severity: Severity, x: number, y: number, r: number): void {
  ctx.beginPath();
  if (severity === "info") {
    ctx.arc(x, y, r, 0, 2 * Math.PI);
  } else if (severity === "warning") {
    ctx.moveTo(x, y - r);
    ctx.lineTo(x + r, y + r);
    ctx.lineTo(x - r, y + r);
  } else {
    for (const [dx, dy] of [[0, -1.2], [1.2, 0], [0, 1.2], [-1.2, 0]] as const) {
      ctx.lineTo(x + dx * r, y + dy * r);
    }
  }
  ctx.closePath();
}
