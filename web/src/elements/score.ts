/** The anomaly score of what a chart shows: a small bar and a number, in words from 0.5 on. */

import { type TemplateResult, css, html, nothing } from "lit";

import { UNUSUAL } from "../scores";

export const scoreStyles = css`
  .score {
    display: inline-flex;
    align-items: center;
    gap: 5px;
    flex: none;
    margin-right: 4px;
    color: var(--soft);
    font-size: 12px;
    font-variant-numeric: tabular-nums;
    white-space: nowrap;
  }
  .score svg {
    width: 30px;
    height: 6px;
    border-radius: 3px;
    background: var(--line);
    fill: var(--soft);
  }
  .score.unusual {
    color: var(--warn);
    font-weight: 650;
  }
  .score.unusual svg {
    fill: var(--warn);
  }
`;

const WIDTH = 30;

export function score(value: number | null, live: boolean): TemplateResult | typeof nothing {
  if (value === null) return nothing;
  const unusual = value >= UNUSUAL;
  const when = live ? "now" : "at most in this range";
  const text = `Anomaly score ${value.toFixed(2)} of 1 ${when}; from ${UNUSUAL} on it is worth a look`;
  return html`<span class="score ${unusual ? "unusual" : ""}" role="img" aria-label=${text} title=${text}
    ><svg viewBox="0 0 ${WIDTH} 6" preserveAspectRatio="none" aria-hidden="true">
      <rect width=${WIDTH * Math.min(Math.max(value, 0), 1)} height="6" /></svg
    >${value.toFixed(2)}${unusual ? " unusual" : ""}</span
  >`;
}
