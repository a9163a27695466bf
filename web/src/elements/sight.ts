/** Tells when an element comes near the visible part of the page, and when it leaves. */

import type { ReactiveController, ReactiveControllerHost } from "lit";

const MARGIN = "120px 0px";

export class Sight implements ReactiveController {
  seen = false;
  private readonly observer: IntersectionObserver;

  constructor(
    private readonly host: ReactiveControllerHost & Element,
    private readonly changed: (seen: boolean) => void,
  ) {
    host.addController(this);
    this.observer = new IntersectionObserver(
      (entries) => this.set(entries[entries.length - 1]?.isIntersecting ?? false),
      { rootMargin: MARGIN },
    );
  }

  hostConnected(): void {
    this.observer.observe(this.host);
  }

  hostDisconnected(): void {
    this.observer.disconnect();
    this.set(false);
  }

  private set(seen: boolean): void {
    if (seen === this.seen) return;
    this.seen = seen;
    this.changed(seen);
  }
}
