/** The page. */

import { LitElement, type TemplateResult, css, html, nothing } from "lit";
import { customElement, query, state } from "lit/decorators.js";
import { repeat } from "lit/directives/repeat.js";

import { Board } from "../board";
import type { Section, Widget } from "../contract";
import { listen } from "../keyboard";
import "./banner";
import "./chart";
import "./contents";
import { controls } from "./controls";
import "./custom-widget";
import "./detail";
import "./header";
import type { HeaderElement } from "./header";
import "./shortcuts";
import type { ShortcutsElement } from "./shortcuts";
import "./table-widget";
import "./tile";
import { Watching } from "./watching";

const NARROW = matchMedia("(max-width: 640px)");

@customElement("barograph-app")
export class AppElement extends LitElement {
  readonly board = new Board();
  @state() private problemsOpen = true;
  @state() private drawerFailure = "";
  /** On a phone the findings cover the whole page. */
  @state() private narrow = NARROW.matches;
  @query("barograph-header") private header!: HeaderElement;
  @query("barograph-shortcuts") private shortcuts!: ShortcutsElement;
  private drawer: Promise<unknown> | null = null;
  private readonly sizes = new ResizeObserver(() => this.place());

  static styles = [
    controls,
    css`
      :host {
        display: block;
        min-height: 100vh;
      }
      .page {
        display: grid;
        grid-template-columns: minmax(0, 1fr) 150px;
        gap: 0 24px;
        max-width: 2400px;
        margin: 0 auto;
        padding: 14px 20px 60px;
      }
      aside {
        position: sticky;
        top: 66px;
        align-self: start;
        padding-top: 6px;
      }
      .tiles {
        display: grid;
        grid-template-columns: repeat(auto-fit, minmax(150px, 1fr));
        gap: 12px;
      }
      .charts {
        display: grid;
        grid-template-columns: repeat(auto-fill, minmax(min(100%, 430px), 1fr));
        gap: 14px;
      }
      section {
        margin-bottom: 26px;
      }
      h2 {
        margin: 0 0 10px;
        font-size: 17px;
        font-weight: 650;
        scroll-margin-top: 120px;
      }
      .tiles + .charts {
        margin-top: 14px;
      }
      .empty {
        padding: 60px 16px;
        text-align: center;
        color: var(--soft);
      }
      .skip {
        position: absolute;
        left: -999px;
      }
      .skip:focus {
        left: 12px;
        top: 8px;
        z-index: 30;
        padding: 8px 12px;
        background: var(--raised);
        color: var(--accent);
        border-radius: 8px;
      }
      /* With room enough the charts stand beside the findings; else these cover them. */
      @media (min-width: 1100px) {
        .content.beside {
          margin-right: 500px;
        }
        .content.beside .page {
          grid-template-columns: minmax(0, 1fr);
        }
        .content.beside .tiles {
          grid-template-columns: repeat(auto-fit, minmax(118px, 1fr));
        }
        .content.beside .page > aside {
          display: none;
        }
      }
      .failed {
        position: fixed;
        right: 0;
        bottom: 0;
        z-index: 20;
        padding: 16px;
        background: var(--raised);
        border: 1px solid var(--bad);
      }
      .detail {
        grid-column: 1 / -1;
        min-width: 0;
      }
      .ghost {
        height: 104px;
        border-radius: var(--radius);
        background: var(--card);
        border: 1px solid var(--line);
      }
      .ghost.tall {
        height: 262px;
      }
      @media (max-width: 1279px) {
        .page {
          grid-template-columns: minmax(0, 1fr);
        }
        aside {
          position: static;
          order: -1;
          padding: 0 0 12px;
          min-width: 0;
        }
      }
      @media (max-width: 640px) {
        .page {
          padding: 8px 12px 40px;
        }
        aside {
          padding-bottom: 8px;
        }
        .tiles {
          grid-template-columns: repeat(3, minmax(0, 1fr));
          gap: 8px;
        }
        section {
          margin-bottom: 18px;
        }
        .ghost {
          height: 72px;
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
    void this.board.start();
    NARROW.addEventListener("change", () => (this.narrow = NARROW.matches));
    listen(this.board, {
      search: () => this.header.search(),
      shortcuts: () => this.shortcuts.show(),
      findings: () => this.toggleFindings(),
      chart: (direction) => this.focusChart(direction),
    });
  }

  protected firstUpdated(): void {
    this.sizes.observe(this.header);
  }

  /** The findings begin below the header; told to them alone, so that no other style is worked out anew. */
  private place(): void {
    const drawer = this.renderRoot.querySelector("barograph-findings");
    drawer?.style.setProperty("--bar", `${this.header.offsetHeight}px`);
  }

  protected updated(): void {
    const { dashboard, address } = this.board;
    if (address.findings) this.place();
    const name = address.view ? this.board.widget(address.view.widget)?.title : "";
    if (dashboard) document.title = `${name ? `${name} · ` : ""}${dashboard.title} · Barograph`;
  }

  render(): TemplateResult {
    const { board } = this;
    const view = board.address.findings;
    const covered = view !== null && this.narrow;
    if (view) this.loadDrawer();
    return html`<nav aria-label="On this page">
        <button class="skip" @click=${this.skip}>To the charts</button>
      </nav>
      <barograph-header
        .board=${board}
        ?inert=${covered}
        @shortcuts=${() => this.shortcuts.show()}
        @problems=${() => (this.problemsOpen = !this.problemsOpen)}
        @findings=${() => this.toggleFindings()}
      ></barograph-header>
      <div class="content ${view ? "beside" : ""}" ?inert=${covered}>
        <barograph-banner .board=${board} .open=${this.problemsOpen}></barograph-banner>
        ${this.body()}
      </div>
      ${view
        ? this.drawerFailure
          ? html`<aside class="failed" role="alert">
              <p>The list of findings could not be loaded: ${this.drawerFailure}</p>
              <button class="button" @click=${() => location.reload()}>Load the page again</button>
              <button class="button" @click=${() => board.closeFindings()}>Close</button>
            </aside>`
          : html`<barograph-findings .board=${board} .view=${view}
              @closed=${() => this.header.focusFindings()}></barograph-findings>`
        : nothing}
      <barograph-shortcuts></barograph-shortcuts>`;
  }

  private body(): TemplateResult {
    const { board } = this;
    const { view } = board.address;
    if (!board.dashboard) return board.failure ? html`` : this.ghosts();
    if (view) {
      const widget = board.widget(view.widget);
      return html`<main class="page"><div class="detail">
        ${widget
          ? html`<barograph-detail .board=${board} .widget=${widget} .view=${view}></barograph-detail>`
          : html`<p class="empty">There is no chart “${view.widget}” here. <button class="button"
              @click=${() => board.open(null)}>All charts</button></p>`}
      </div></main>`;
    }
    const { sections } = board;
    return html`<div class="page">
      <main id="charts" tabindex="-1">
        ${sections.length
          ? repeat(sections, (section) => section.name, (section) => this.section(section))
          : html`<p class="empty">
              ${board.address.filter
                ? html`No chart fits “${board.address.filter}”.
                    <button class="button" @click=${() => board.setFilter("")}>Show all</button>`
                : "No plugin gives a chart. Install one, or enable one in the configuration."}
            </p>`}
      </main>
      <aside>
        <barograph-contents
          .names=${sections.map((section) => section.name)}
          .headings=${() => [...this.renderRoot.querySelectorAll<HTMLElement>("h2")]}
          @jump=${(event: CustomEvent<string>) => this.jump(event.detail)}
        ></barograph-contents>
      </aside>
    </div>`;
  }

  private section(section: Section): TemplateResult {
    const tiles = section.widgets.filter((widget) => widget.kind === "stat");
    const rest = section.widgets.filter((widget) => widget.kind !== "stat");
    const first = section.name === "Overview";
    return html`<section aria-label=${section.name}>
      <h2 data-section=${section.name} tabindex="-1" class=${first ? "spoken" : ""}>${section.name}</h2>
      ${tiles.length
        ? html`<div class="tiles">
            ${repeat(tiles, (widget) => widget.id, (widget) => this.widget(widget))}
          </div>`
        : nothing}
      ${rest.length
        ? html`<div class="charts">
            ${repeat(rest, (widget) => widget.id, (widget) => this.widget(widget))}
          </div>`
        : nothing}
    </section>`;
  }

  private widget(widget: Widget): TemplateResult {
    const { board } = this;
    if (widget.module) {
      return html`<barograph-custom .board=${board} .widget=${widget}></barograph-custom>`;
    }
    switch (widget.kind) {
      case "stat":
        return html`<barograph-tile .board=${board} .widget=${widget}></barograph-tile>`;
      case "table":
        return html`<barograph-table .board=${board} .widget=${widget}></barograph-table>`;
      default:
        return html`<barograph-chart .board=${board} .widget=${widget}></barograph-chart>`;
    }
  }

  private ghosts(): TemplateResult {
    return html`<div class="page" role="status" aria-label="Loading">
      <section>
        <div class="tiles">${Array.from({ length: 6 }, () => html`<div class="ghost"></div>`)}</div>
        <div class="charts">${Array.from({ length: 4 }, () => html`<div class="ghost tall"></div>`)}</div>
      </section>
    </div>`;
  }

  /** The drawer's code comes when it is first opened: charts need none of it. */
  private loadDrawer(): void {
    this.drawer ??= import("./findings").catch((error: unknown) => {
      this.drawerFailure = error instanceof Error ? error.message : String(error);
    });
  }

  private toggleFindings(): void {
    if (this.board.address.findings) this.board.closeFindings();
    else this.board.openFindings("open");
  }

  private jump(name: string): void {
    const headings = [...this.renderRoot.querySelectorAll<HTMLElement>("h2")];
    const found = headings.find((one) => one.dataset.section === name);
    if (!found) return;
    if (found === headings[0]) scrollTo({ top: 0 });
    else found.scrollIntoView();
    found.focus({ preventScroll: true });
  }

  private focusChart(direction: 1 | -1): void {
    const areas = [...this.renderRoot.querySelectorAll("barograph-chart, barograph-detail")]
      .map((chart) => chart.shadowRoot?.querySelector("barograph-plot"))
      .map((plot) => plot?.shadowRoot?.querySelector<HTMLElement>(".draw"))
      .filter((area): area is HTMLElement => Boolean(area));
    const at = areas.findIndex((area) => area.matches(":focus"));
    const next = areas[at < 0 && direction < 0 ? areas.length - 1 : at + direction];
    next?.focus();
    next?.scrollIntoView({ block: "nearest" });
  }

  private readonly skip = (): void => {
    this.renderRoot.querySelector<HTMLElement>("#charts")?.focus();
  };
}
