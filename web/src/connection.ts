/** The one WebSocket: subscribes, notices silence, comes back by itself. */

import type { Frame, Query, TickFrame, Labels } from "./contract";

export type LinkState = "connecting" | "open" | "lost";

const SILENCE_MS = 2_300;
const PING_MS = 700;
const FIRST_WAIT_MS = 400;
const LONGEST_WAIT_MS = 15_000;
const OPENING_MS = 3_000;

export interface LiveTick {
  t: number;
  skipped: number;
  values: TickFrame["v"];
  lines: ReadonlyMap<string, { labels: Labels; legend: string }[]>;
}

export interface Callbacks {
  state(state: LinkState): void;
  tick(tick: LiveTick): void;
  /** The findings have changed: ask for them. */
  findings(): void;
  refused(detail: string): void;
}

export class Connection {
  state: LinkState = "connecting";
  private socket: WebSocket | null = null;
  private heard = performance.now();
  private opened = 0;
  private wait = FIRST_WAIT_MS;
  private panels: { id: string; query: Query }[] = [];
  private readonly lines = new Map<string, { labels: Labels; legend: string }[]>();
  private timer = 0;

  constructor(
    private readonly address: string,
    private readonly callbacks: Callbacks,
  ) {}

  start(): void {
    this.open();
    setInterval(() => this.watch(), PING_MS);
    addEventListener("online", () => this.retry());
    document.addEventListener("visibilitychange", () => {
      this.heard = performance.now();
      if (!document.hidden && this.state !== "open") this.retry();
    });
  }

  /** Which panels to send each tick; replaces what was asked before. */
  subscribe(panels: { id: string; query: Query }[]): void {
    if (JSON.stringify(panels) === JSON.stringify(this.panels)) return;
    this.panels = panels;
    if (this.socket?.readyState === WebSocket.OPEN) this.ask();
  }

  /** Try now instead of after the wait. */
  retry(): void {
    clearTimeout(this.timer);
    this.drop();
    this.open();
  }

  private ask(): void {
    this.lines.clear();
    this.socket?.send(JSON.stringify({ type: "subscribe", panels: this.panels }));
  }

  private open(): void {
    this.opened = performance.now();
    const socket = new WebSocket(this.address);
    this.socket = socket;
    socket.onopen = () => {
      this.heard = performance.now();
      this.ask();
      socket.send('{"type":"ping"}');
    };
    socket.onmessage = (event: MessageEvent<string>) => this.take(JSON.parse(event.data) as Frame);
    socket.onclose = () => {
      if (socket === this.socket) this.fail();
    };
  }

  private take(frame: Frame): void {
    this.heard = performance.now();
    if (this.state !== "open") {
      this.wait = FIRST_WAIT_MS;
      this.become("open");
    }
    if (frame.type === "panels") {
      for (const [id, lines] of Object.entries(frame.panels)) this.lines.set(id, lines);
    } else if (frame.type === "tick") {
      this.callbacks.tick({ t: frame.t, skipped: frame.skipped, values: frame.v, lines: this.lines });
    } else if (frame.type === "findings") {
      this.callbacks.findings();
    } else if (frame.type === "error") {
      this.callbacks.refused(frame.detail);
    }
  }

  private watch(): void {
    if (document.hidden || !this.socket) return;
    const now = performance.now();
    if (this.socket.readyState === WebSocket.OPEN) {
      if (now - this.heard > SILENCE_MS) this.fail();
      else if (now - this.heard > PING_MS * 0.9) this.socket.send('{"type":"ping"}');
    } else if (now - this.opened > OPENING_MS && this.socket.readyState === WebSocket.CONNECTING) {
      this.fail();
    }
  }

  private fail(): void {
    this.drop();
    this.become("lost");
    const wait = this.wait * (0.7 + 0.6 * Math.random());
    this.wait = Math.min(this.wait * 1.8, LONGEST_WAIT_MS);
    clearTimeout(this.timer);
    this.timer = window.setTimeout(() => this.open(), wait);
  }

  private drop(): void {
    const socket = this.socket;
    this.socket = null;
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
  }

  private become(state: LinkState): void {
    if (state === this.state) {
      if (state === "lost") this.callbacks.state(state);
      return;
    }
    this.state = state;
    this.callbacks.state(state);
  }
}
