/** Keeps an element in step with the board. */

import type { ReactiveController, ReactiveControllerHost } from "lit";

import type { Board } from "../board";

export class Watching implements ReactiveController {
  private board: Board | null = null;
  private readonly update = () => this.host.requestUpdate();

  constructor(
    private readonly host: ReactiveControllerHost & { board: Board },
    private readonly events: string[] = ["change"],
  ) {
    host.addController(this);
  }

  hostConnected(): void {
    this.follow();
  }

  hostUpdate(): void {
    this.follow();
  }

  hostDisconnected(): void {
    for (const name of this.events) this.board?.removeEventListener(name, this.update);
    this.board = null;
  }

  private follow(): void {
    if (this.board === this.host.board || !this.host.board) return;
    this.board = this.host.board;
    for (const name of this.events) this.board.addEventListener(name, this.update);
  }
}
