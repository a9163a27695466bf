/** What is said of findings, and what can be done with them. Pure functions. */

import type { Finding, FindingState } from "../contract";

export interface Change {
  to: FindingState;
  label: string;
  words: string;
  title: string;
}

const ACKNOWLEDGE: Change = {
  to: "acknowledged", label: "Acknowledge", words: "Acknowledged",
  title: "Somebody looks into it; it stays listed until it ends",
};
const DISMISS: Change = {
  to: "dismissed", label: "This was fine", words: "Dismissed",
  title: "Dismiss it: nothing was wrong. Detectors that can learn from this do",
};
const REOPEN: Change = { to: "open", label: "Reopen", words: "Opened again", title: "Open it again" };

const CHANGES: Record<FindingState, Change[]> = {
  open: [ACKNOWLEDGE, DISMISS],
  acknowledged: [DISMISS, REOPEN],
  dismissed: [REOPEN],
  resolved: [DISMISS, REOPEN],
};

/** What can be done with a finding in this state. */
export function changes(state: FindingState): Change[] {
  return CHANGES[state] ?? [];
}

/** "change_point" as people write it. */
export function kindText(kind: string): string {
  return kind.replaceAll("_", " ");
}

export function timesText({ times }: Pick<Finding, "times">): string {
  return times === 1 ? "seen once" : `seen ${times} times`;
}
