/** The y axis: bounds and ticks. Pure functions. */

export interface Scale {
  min: number;
  max: number;
  step: number;
}

const PIXELS_A_TICK = 38;

/** Round bounds around [low, high] with ticks between them; `minimum`/`maximum` where natural. */
export function scaleFor(
  low: number | null,
  high: number | null,
  unit: string,
  minimum: number | null,
  maximum: number | null,
  pixels: number,
): Scale {
  let min = low ?? 0;
  let max = high ?? 0;
  if (minimum !== null) min = Math.min(minimum, min);
  else if (min > 0 && min < max * 0.5) min = 0;
  if (max - min < Math.max(1e-12, Math.max(Math.abs(min), Math.abs(max)) * 1e-6)) {
    const least = unit === "ratio" ? 0.01 : unit.startsWith("bytes") ? 1024 : unit === "seconds" ? 1e-3 : 1;
    const room = Math.max(Math.abs(max) * 0.05, max === 0 ? least : 0, 1e-9);
    if (minimum === null && max !== 0) min -= room;
    max += room;
  }
  const wanted = Math.max(2, Math.min(6, Math.floor(pixels / PIXELS_A_TICK)));
  const step = roundStep((max - min) / wanted, unit.startsWith("bytes"));
  const bottom = Math.floor(min / step + 1e-9) * step;
  let top = Math.ceil(max / step - 1e-9) * step;
  // A ratio that comes near its natural end shows the whole of it. Rates overshoot it now and then,
  // because samples are never exactly a second apart; the axis does not follow them.
  if (maximum !== null && (top > maximum || max > maximum * 0.5)) top = maximum;
  return { min: bottom, max: top, step };
}

export function ticksOf({ min, max, step }: Scale): number[] {
  const out: number[] = [];
  for (let i = Math.ceil(min / step - 1e-9); i * step <= max * (1 + 1e-9) + 1e-12; i += 1) {
    out.push(i * step);
  }
  return out;
}

function roundStep(wanted: number, binary: boolean): number {
  if (binary && wanted >= 1) return 2 ** Math.ceil(Math.log2(wanted) - 1e-9);
  const power = 10 ** Math.floor(Math.log10(wanted));
  const part = wanted / power;
  return power * (part <= 1 ? 1 : part <= 2 ? 2 : part <= 2.5 ? 2.5 : part <= 5 ? 5 : 10);
}
