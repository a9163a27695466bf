/** Light, dark, or as the system has it. */

export type Choice = "system" | "light" | "dark";

const KEY = "barograph-theme";
const system = matchMedia("(prefers-color-scheme: dark)");

export class Theme extends EventTarget {
  choice: Choice = stored();

  constructor() {
    super();
    system.addEventListener("change", () => this.dispatchEvent(new Event("change")));
  }

  get dark(): boolean {
    return this.choice === "dark" || (this.choice === "system" && system.matches);
  }

  choose(choice: Choice): void {
    this.choice = choice;
    if (choice === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = choice;
    try {
      if (choice === "system") localStorage.removeItem(KEY);
      else localStorage.setItem(KEY, choice);
    } catch (error) {
      console.info("the theme cannot be kept:", String(error));
    }
    this.dispatchEvent(new Event("change"));
  }

  /** The next of system, light, dark. */
  next(): void {
    const order: Choice[] = ["system", "light", "dark"];
    this.choose(order[(order.indexOf(this.choice) + 1) % order.length]!);
  }
}

function stored(): Choice {
  const set = document.documentElement.dataset.theme;
  return set === "light" || set === "dark" ? set : "system";
}
