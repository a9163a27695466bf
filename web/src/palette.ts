/** Colours of lines: Okabe and Ito's, moved as far as each background needs for contrast 3:1. */

import type { Severity } from "./contract";

const DARK = ["#56b4e9", "#e69f00", "#2cc295", "#e58bc4", "#f0e442", "#f4764a", "#9aa5ff", "#b6c0ca"];
const LIGHT = ["#0072b2", "#b06f00", "#00805c", "#b04a88", "#7d7300", "#c85200", "#5456cf", "#5c6670"];

/** Past the eighth line colours come again, each time with another dash. */
const DASHES: number[][] = [[], [7, 3], [2, 3], [9, 3, 2, 3]];

export interface Look {
  color: string;
  dash: number[];
}

export function look(slot: number, dark: boolean): Look {
  const colors = dark ? DARK : LIGHT;
  return {
    color: colors[slot % colors.length]!,
    dash: DASHES[Math.floor(slot / colors.length) % DASHES.length]!,
  };
}

const SEVERITY: Record<Severity, [light: string, dark: string]> = {
  info: ["#0b6e8a", "#4cc4e0"],
  warning: ["#8f5300", "#f2b141"],
  critical: ["#b3261e", "#ff8a80"],
};

export function severityColor(severity: Severity, dark: boolean): string {
  return (SEVERITY[severity] ?? SEVERITY.info)[dark ? 1 : 0];
}

/** `#rrggbb` with an alpha of 0 to 1. */
export function faded(color: string, alpha: number): string {
  return color + Math.round(alpha * 255).toString(16).padStart(2, "0");
}
