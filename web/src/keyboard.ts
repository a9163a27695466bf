/** Keys that work anywhere on the page. */

import type { Board } from "./board";
import { PRESETS, recent } from "./range";

export interface KeyTargets {
  search(): void;
  shortcuts(): void;
  /** Show or hide the findings. */
  findings(): void;
  /** Move the focus to the next (1) or previous (-1) chart. */
  chart(direction: 1 | -1): void;
}

export function listen(board: Board, targets: KeyTargets): () => void {
  const onKey = (event: KeyboardEvent): void => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const inner = event.composedPath()[0];
    const typing =
      inner instanceof HTMLInputElement ||
      inner instanceof HTMLSelectElement ||
      inner instanceof HTMLTextAreaElement;
    if (typing) {
      if (event.key === "Escape" && inner instanceof HTMLInputElement) inner.blur();
      return;
    }
    if (event.composedPath().some((one) => one instanceof HTMLDialogElement)) return;
    if (act(event, inner)) event.preventDefault();
  };

  const act = (event: KeyboardEvent, inner: EventTarget | undefined): boolean => {
    const { key } = event;
    const preset = PRESETS[Number(key) - 1];
    if (preset && /^\d$/.test(key)) board.setRange(recent(preset.name));
    else if (key === "?") targets.shortcuts();
    else if (key === "/") targets.search();
    else if (key === "f") targets.findings();
    else if (key === "l") board.goLive();
    else if (key === "t") board.theme.next();
    else if (key === "u") board.setUtc(!board.utc);
    else if (key === "n" || key === "p") targets.chart(key === "n" ? 1 : -1);
    else if (key === " " && !(inner instanceof HTMLButtonElement)) {
      if (board.range.kind === "recent") board.pause(!board.paused);
    } else if (key === "Escape") {
      if (board.address.findings?.id) board.openFindings(board.address.findings.filter);
      else if (board.address.findings) board.closeFindings();
      else if (board.address.view) board.closeView();
      else board.zoomBack();
    } else return false;
    return true;
  };

  addEventListener("keydown", onKey);
  return () => removeEventListener("keydown", onKey);
}
