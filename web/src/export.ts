/** What is seen, as a file. */

import type { Panel } from "./panel";

/** CSV: a time column (UTC), then one column a line. */
export function table(panel: Panel): string {
  const head = ["time", ...panel.lines.map((line) => line.legend)].map(cell).join(",");
  const rows = panel.t.map((time, i) =>
    [new Date(time).toISOString(), ...panel.lines.map((line) => line.values[i] ?? "")].join(","),
  );
  return [head, ...rows, ""].join("\r\n");
}

export function download(name: string, text: string): void {
  const address = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

/** Labels may come from strangers: what a spreadsheet would take for a formula gets a quote. */
function cell(text: string): string {
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return `"${safe.replaceAll('"', '""')}"`;
}
