/** One finding: what, when, how often, what to do with it, its evidence as charts, its history. */

import { LitElement, type PropertyValues, type TemplateResult, css, html, nothing } from "lit";
import { customElement, property, query, state } from "lit/decorators.js";

import type { Board } from "../board";
import type { Finding, FindingState, Widget } from "../contract";
import { shows } from "../findings";
import { written } from "../selector";
import { full, length, whenText } from "../timetext";
import { format } from "../units";
import { controls } from "./controls";
import "./evidence";
import { changes, kindText, timesText } from "./finding-words";
import { severity, severityStyles } from "./severity";
import { Watching } from "./watching";

const NOTE_LENGTH = 500;

@customElement("barograph-finding")
export class FindingElement extends LitElement {
  @property({ attribute: false }) board!: Board;
  /** The finding's id. */
  @property() which = "";
  @state() private finding: Finding | null = null;
  @state() private missing = "";
  @state() private failure = "";
  @state() private busy = false;
  @query("h3") private heading!: HTMLElement | null;
  @query("#note") private note!: HTMLInputElement | null;
  private focused = "";
  private version = -1;

  static styles = [
    controls,
    severityStyles,
    css`
      :host {
        display: block;
      }
      .facts {
        display: flex;
        flex-wrap: wrap;
        align-items: center;
        gap: 2px 10px;
        color: var(--soft);
        font-size: 12.5px;
      }
      .state {
        padding: 0 8px;
        border: 1px solid var(--line-strong);
        border-radius: 99px;
      }
      h3 {
        margin: 6px 0;
        font-size: 17px;
        line-height: 1.3;
        overflow-wrap: anywhere;
        unicode-bidi: isolate;
      }
      h3:focus {
        outline: none;
      }
      h4 {
        margin: 18px 0 8px;
        font-size: 13px;
        font-weight: 650;
      }
      .text {
        margin: 0 0 12px;
        white-space: pre-line;
        overflow-wrap: anywhere;
        unicode-bidi: isolate;
      }
      dl {
        display: grid;
        grid-template-columns: auto minmax(0, 1fr);
        gap: 4px 14px;
        margin: 0 0 14px;
        font-size: 13px;
        font-variant-numeric: tabular-nums;
      }
      dt {
        color: var(--soft);
      }
      dd {
        margin: 0;
        overflow-wrap: anywhere;
        unicode-bidi: isolate;
      }
      code {
        font: 12px var(--mono);
      }
      .acts {
        display: flex;
        flex-wrap: wrap;
        gap: 8px;
      }
      .acts input {
        flex: 1 1 180px;
        min-width: 0;
        min-height: 32px;
        padding: 0 10px;
        border: 1px solid var(--line);
        border-radius: 8px;
        background: var(--card);
      }
      input::placeholder {
        color: var(--soft);
      }
      .charts {
        margin: 8px 0 0;
        padding: 0;
        list-style: none;
        font-size: 13px;
      }
      .link {
        min-height: 26px;
        padding: 0;
        border: 0;
        background: none;
        color: var(--accent);
        text-align: left;
        text-decoration: underline;
        cursor: pointer;
      }
      ol {
        margin: 0;
        padding-left: 20px;
        font-size: 13px;
      }
      ol li {
        overflow-wrap: anywhere;
      }
      .error {
        color: var(--bad);
        overflow-wrap: anywhere;
      }
      .said {
        margin: 40px auto;
        max-width: 40ch;
        color: var(--soft);
        text-align: center;
      }
      summary {
        min-height: 26px;
        cursor: pointer;
        color: var(--soft);
        font-size: 13px;
      }
      details {
        margin-top: 14px;
      }
    `,
  ];

  constructor() {
    super();
    new Watching(this);
  }

  protected willUpdate(changed: PropertyValues<this>): void {
    if (changed.has("which")) {
      this.finding = null;
      this.missing = this.failure = this.focused = "";
      this.version = -1;
    }
    const { findings } = this.board;
    if (findings.version === this.version || findings.state === "loading") return;
    this.version = findings.version;
    this.finding = findings.known(this.which) ?? this.finding;
    // What is listed nowhere here may have changed as well.
    if (!findings.known(this.which)) void this.ask();
  }

  protected updated(): void {
    // Once for each finding, so that a change while one reads takes no focus away.
    if (!this.finding || this.focused === this.which) return;
    this.focused = this.which;
    this.heading?.focus();
  }

  private async ask(): Promise<void> {
    const { which } = this;
    try {
      const found = await this.board.server.finding(which);
      if (which !== this.which) return;
      this.finding = found;
      this.missing = "";
    } catch (error) {
      if (which === this.which) this.missing = error instanceof Error ? error.message : String(error);
    }
  }

  render(): TemplateResult {
    const { finding, board } = this;
    if (!finding) {
      return this.missing
        ? html`<div class="said" role="alert">
            <p>This finding cannot be shown: ${this.missing}.</p>
            <button class="button" @click=${() => board.openFindings("all")}>All findings</button>
          </div>`
        : html`<p class="said" role="status">Loading …</p>`;
    }
    const span = finding.end_ms - finding.start_ms;
    return html`<div class="facts">
        ${severity(finding.severity)}<span>${kindText(finding.kind)}</span>
        <span class="state">${finding.state}</span>
      </div>
      <h3 tabindex="-1">${finding.title}</h3>
      <p class="text">${finding.text}</p>
      <dl>
        <dt>When</dt>
        <dd>${whenText(finding.start_ms, finding.end_ms, board.utc)}${span >= 1000
          ? `, ${length(span)}`
          : ""}</dd>
        <dt>How often</dt>
        <dd>${timesText(finding)}, first ${full(finding.first_ms, board.utc).slice(0, 19)}, last
          ${length(Math.max(0, board.serverNow - finding.last_ms))} ago</dd>
        <dt>How sure</dt>
        <dd>${format(finding.confidence, "ratio")}</dd>
        <dt>Found by</dt>
        <dd>${finding.source}</dd>
        ${Object.keys(finding.labels).length
          ? html`<dt>Concerns</dt>
              <dd><code>${written(finding.labels)}</code></dd>`
          : nothing}
      </dl>
      ${this.acts(finding)}
      <h4>Evidence</h4>
      ${finding.evidence.map(
        (evidence) => html`<barograph-evidence .board=${board} .finding=${finding} .evidence=${evidence}>
        </barograph-evidence>`,
      )}
      ${this.charts(finding)} ${this.history(finding)} ${this.numbers(finding)}`;
  }

  private acts(finding: Finding): TemplateResult {
    return html`<div class="acts">
        <input id="note" maxlength=${NOTE_LENGTH} placeholder="Note (optional)" aria-label="Note (optional)" />
        ${changes(finding.state).map(
          ({ to, label, title }) => html`<button class="button" title=${title} ?disabled=${this.busy}
            @click=${() => void this.change(finding, to)}>${label}</button>`,
        )}
      </div>
      ${this.failure ? html`<p class="error" role="alert">${this.failure}</p>` : nothing}`;
  }

  private charts(finding: Finding): TemplateResult | typeof nothing {
    const { board } = this;
    const all = (board.dashboard?.sections ?? []).flatMap((section) => section.widgets);
    const found = all.filter((one) => one.kind !== "stat" && shows(one, finding.labels));
    if (!found.length) return nothing;
    return html`<h4>Charts of this series</h4>
      <ul class="charts">
        ${found.map((widget) => html`<li>
          <button class="link" @click=${() => this.toChart(widget)}>${widget.title}</button>
        </li>`)}
      </ul>`;
  }

  private history(finding: Finding): TemplateResult | typeof nothing {
    if (!finding.history.length) return nothing;
    return html`<h4>History</h4>
      <ol>
        ${finding.history.map(
          ({ t_ms, state, by, note }) => html`<li>
            ${full(t_ms, this.board.utc).slice(0, 19)}: ${state} by ${by}${note ? `: ${note}` : ""}
          </li>`,
        )}
      </ol>`;
  }

  private numbers(finding: Finding): TemplateResult | typeof nothing {
    const entries = Object.entries(finding.details);
    if (!entries.length) return nothing;
    return html`<details>
      <summary>Numbers for machines</summary>
      <dl>
        ${entries.map(([name, value]) => html`<dt>${name}</dt>
          <dd><code>${typeof value === "string" ? value : JSON.stringify(value)}</code></dd>`)}
      </dl>
    </details>`;
  }

  private toChart(widget: Widget): void {
    this.board.open({ widget: widget.id, by: "", where: [], line: null, ref: null });
  }

  private async change(finding: Finding, to: FindingState): Promise<void> {
    this.busy = true;
    this.failure = "";
    try {
      const note = this.note?.value.trim() ?? "";
      this.finding = await this.board.findings.change(finding, to, note);
      if (this.note) this.note.value = "";
      await this.updateComplete;
      this.heading?.focus();
    } catch (error) {
      this.failure = `Nothing has changed: ${error instanceof Error ? error.message : String(error)}`;
    } finally {
      this.busy = false;
    }
  }
}
