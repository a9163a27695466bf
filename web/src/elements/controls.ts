/** Styles that buttons, fields and focus share in all elements, and the icons. */

import { css, svg, type SVGTemplateResult } from "lit";

export const controls = css`
  *,
  *::before,
  *::after {
    box-sizing: border-box;
  }
  [hidden] {
    display: none !important;
  }
  :focus-visible {
    outline: 2px solid var(--accent);
    outline-offset: 2px;
    border-radius: 6px;
  }
  button,
  select,
  input {
    font: inherit;
    color: inherit;
  }
  .button {
    display: inline-flex;
    align-items: center;
    justify-content: center;
    gap: 6px;
    min-height: 32px;
    min-width: 32px;
    padding: 0 10px;
    border: 1px solid var(--line);
    border-radius: 8px;
    background: var(--card);
    color: var(--text);
    cursor: pointer;
    white-space: nowrap;
    text-decoration: none;
  }
  .button:hover {
    border-color: var(--line-strong);
    background: var(--raised);
  }
  .button.on {
    background: var(--accent-soft);
    border-color: var(--accent);
    color: var(--accent);
  }
  .button.bare {
    border-color: transparent;
    background: transparent;
    color: var(--soft);
  }
  .button.bare:hover {
    color: var(--text);
    background: var(--accent-soft);
  }
  .button.icon {
    padding: 0;
  }
  svg.glyph {
    width: 16px;
    height: 16px;
    fill: none;
    stroke: currentColor;
    stroke-width: 1.7;
    stroke-linecap: round;
    stroke-linejoin: round;
    flex: none;
  }
  .spoken {
    position: absolute;
    width: 1px;
    height: 1px;
    overflow: hidden;
    clip-path: inset(50%);
    white-space: nowrap;
  }
`;

const glyph = (paths: SVGTemplateResult) =>
  svg`<svg class="glyph" viewBox="0 0 16 16" aria-hidden="true">${paths}</svg>`;

export const icons = {
  pause: glyph(svg`<path d="M5.5 3.5v9M10.5 3.5v9"/>`),
  play: glyph(svg`<path d="M5 3.2v9.6L12.5 8z"/>`),
  info: glyph(svg`<circle cx="8" cy="8" r="6"/><path d="M8 7.3v3.4M8 5.1v.1"/>`),
  expand: glyph(svg`<path d="M9.5 2.8h3.7v3.7M6.5 13.2H2.8V9.5M13 3 9.4 6.6M3 13l3.6-3.6"/>`),
  back: glyph(svg`<path d="M9.5 3.5 5 8l4.5 4.5"/>`),
  close: glyph(svg`<path d="m4 4 8 8M12 4l-8 8"/>`),
  warning: glyph(svg`<path d="M8 2.4 14.3 13H1.7zM8 6.5v3M8 11.3v.1"/>`),
  sun: glyph(svg`<circle cx="8" cy="8" r="2.8"/><path d="M8 1.6v1.2M8 13.2v1.2M1.6 8h1.2M13.2 8h1.2M3.5 3.5l.8.8M11.7 11.7l.8.8M12.5 3.5l-.8.8M4.3 11.7l-.8.8"/>`),
  moon: glyph(svg`<path d="M13.2 9.6A5.6 5.6 0 0 1 6.4 2.8a5.6 5.6 0 1 0 6.8 6.8z"/>`),
  system: glyph(svg`<circle cx="8" cy="8" r="5.6"/><path d="M8 2.4v11.2M8 4.5h4.2M8 8h5.6M8 11.5h4.2"/>`),
  search: glyph(svg`<circle cx="7" cy="7" r="4.2"/><path d="m10.2 10.2 3.3 3.3"/>`),
  keyboard: glyph(svg`<rect x="1.6" y="4" width="12.8" height="8" rx="1.6"/><path d="M4.2 6.7h.1M7 6.7h.1M9.8 6.7h.1M12 6.7h.1M5 9.5h6"/>`),
  list: glyph(svg`<path d="M2.8 4h10.4M2.8 8h10.4M2.8 12h6"/>`),
  calendar: glyph(svg`<rect x="2.2" y="3.2" width="11.6" height="10.4" rx="1.6"/><path d="M2.2 6.6h11.6M5.2 1.8v2.4M10.8 1.8v2.4"/>`),
  finding: glyph(svg`<path d="M1.8 9.5h2.7l1.8-5.7 3.2 9 1.9-3.3h2.8"/>`),
  copy: glyph(svg`<rect x="5.6" y="5.6" width="8" height="8" rx="1.4"/><path d="M10.4 5.4V3.8a1.4 1.4 0 0 0-1.4-1.4H3.8a1.4 1.4 0 0 0-1.4 1.4V9a1.4 1.4 0 0 0 1.4 1.4h1.6"/>`),
  out: glyph(svg`<circle cx="7" cy="7" r="4.2"/><path d="m10.2 10.2 3.3 3.3M5 7h4"/>`),
};
