/** A severity as a shape and a word, so that it is not told by colour alone. */

import { type TemplateResult, css, html, svg } from "lit";

import type { Severity } from "../contract";

const SHAPES = {
  info: svg`<circle cx="6" cy="6" r="4.6"/>`,
  warning: svg`<path d="M6 1 11.4 10.6H.6z"/>`,
  critical: svg`<path d="M6 .4 11.6 6 6 11.6.4 6z"/>`,
};

export const severityStyles = css`
  .severity {
    display: inline-flex;
    align-items: center;
    gap: 5px;
    flex: none;
    font-size: 12px;
    font-weight: 650;
    color: var(--accent);
  }
  .severity svg {
    width: 12px;
    height: 12px;
    fill: currentColor;
  }
  .severity.warning {
    color: var(--warn);
  }
  .severity.critical {
    color: var(--bad);
  }
`;

export function severity(which: Severity): TemplateResult {
  const known = Object.hasOwn(SHAPES, which) ? which : "info";
  return html`<span class="severity ${known}"
    ><svg viewBox="0 0 12 12" aria-hidden="true">${SHAPES[known]}</svg>${known}</span
  >`;
}
