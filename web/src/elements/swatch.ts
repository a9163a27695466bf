/** The short stroke before a line's name: its colour and its dash. */

import { type SVGTemplateResult, svg } from "lit";

import { look } from "../palette";

export function swatch(slot: number, dark: boolean): SVGTemplateResult {
  const { color, dash } = look(slot, dark);
  return svg`<svg class="swatch" width="18" height="10" viewBox="0 0 18 10" aria-hidden="true">
    <line x1="1" y1="5" x2="17" y2="5" stroke=${color} stroke-width="3"
      stroke-dasharray=${dash.join(" ") || "none"} stroke-linecap=${dash.length ? "butt" : "round"} />
  </svg>`;
}
