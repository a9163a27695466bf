/** Numbers as people read them. Pure functions. */

const BINARY = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
const METRIC: [number, string][] = [
  [1e12, "T"],
  [1e9, "G"],
  [1e6, "M"],
  [1e3, "k"],
];

export interface Quantity {
  number: string;
  unit: string;
}

/** `value` in `unit` split into digits and unit, so that they can be set apart. */
export function quantity(value: number | null | undefined, unit: string): Quantity {
  if (value === null || value === undefined || !Number.isFinite(value)) {
    return { number: "–", unit: "" };
  }
  const [base, per] = split(unit);
  const rest = per ? `/${per}` : "";
  switch (base) {
    case "bytes": {
      const [scaled, name, power] = binary(value);
      return { number: digits(scaled, power === 0), unit: name + rest };
    }
    case "ratio":
      return { number: digits(value * 100, value === 1), unit: "%" + rest };
    case "seconds":
      return seconds(value, rest);
    case "celsius":
      return { number: value.toFixed(1), unit: "°C" };
    case "hertz": {
      const [scaled, prefix] = metric(value);
      return { number: digits(scaled, !prefix), unit: `${prefix}Hz` };
    }
    default: {
      const [scaled, prefix] = metric(value);
      const name = base ? base + rest : "";
      return { number: digits(scaled, !prefix) + (prefix && !name ? " " + prefix : ""),
               unit: name ? (prefix ? `${prefix} ${name}` : name) : "" };
    }
  }
}

/** `value` with its unit in one text. */
export function format(value: number | null | undefined, unit: string): string {
  const { number, unit: name } = quantity(value, unit);
  return name ? `${number}${name.startsWith("%") ? "" : " "}${name}` : number;
}

/** Labels of an axis: all in one unit, with just the digits that tell them apart. */
export function ticks(values: (number | null)[], unit: string): string[] {
  const known = values.filter((v): v is number => v !== null);
  const most = Math.max(...known.map(Math.abs), 0);
  const [base, per] = split(unit);
  const rest = per ? `/${per}` : "";
  let factor = 1;
  let name = "";
  if (base === "bytes") {
    const [, found, power] = binary(most);
    factor = 1024 ** power;
    name = ` ${found}${rest}`;
  } else if (base === "ratio") {
    factor = 0.01;
    name = "%";
  } else if (base === "seconds") {
    [factor, name] = most >= 1 || most === 0 ? [1, " s"] : most >= 1e-3 ? [1e-3, " ms"] : [1e-6, " µs"];
    if (most >= 7200) [factor, name] = [3600, " h"];
    if (most >= 172800) [factor, name] = [86400, " d"];
  } else if (base === "celsius") {
    name = " °C";
  } else {
    const found = METRIC.find(([size]) => most >= size);
    if (found) [factor, name] = [found[0], ` ${found[1]}`];
    if (base === "hertz") name = `${name || " "}Hz`;
  }
  const step = known.length > 1 ? Math.abs(known[1]! - known[0]!) / factor : 1;
  const places = Math.min(6, Math.max(0, Math.ceil(-Math.log10(step) - 1e-9)));
  const shown = step * 10 ** places;
  const needed = Math.abs(shown - Math.round(shown)) > 1e-6 ? places + 1 : places;
  return values.map((v) => (v === null ? "" : (v / factor).toFixed(Math.min(needed, 6)) + name));
}

function split(unit: string): [string, string] {
  const [base = "", per = ""] = unit.split("/");
  return [base, per];
}

function binary(value: number): [number, string, number] {
  let power = 0;
  let size = Math.abs(value);
  while (size >= 1023.5 && power < BINARY.length - 1) {
    size /= 1024;
    power += 1;
  }
  return [Math.sign(value) * size, BINARY[power]!, power];
}

function metric(value: number): [number, string] {
  const found = METRIC.find(([size]) => Math.abs(value) >= size * 0.9995);
  return found ? [value / found[0], found[1]] : [value, ""];
}

function seconds(value: number, rest: string): Quantity {
  const size = Math.abs(value);
  if (size === 0) return { number: "0", unit: "s" + rest };
  if (size < 1e-3) return { number: digits(value * 1e6), unit: "µs" + rest };
  if (size < 1) return { number: digits(value * 1e3), unit: "ms" + rest };
  if (size < 120) return { number: digits(value), unit: "s" + rest };
  if (size < 7200) return { number: digits(value / 60), unit: "min" + rest };
  if (size < 172800) return { number: digits(value / 3600), unit: "h" + rest };
  return { number: digits(value / 86400), unit: "d" + rest };
}

/** Three figures; with `whole`, a whole number has no tail. */
function digits(value: number, whole = false): string {
  const size = Math.abs(value);
  if (size === 0) return "0";
  if (size >= 99.95) return value.toFixed(0);
  if (size >= 9.995) return value.toFixed(1);
  if (size >= 0.00995) return whole && Number.isInteger(value) ? String(value) : value.toFixed(2);
  return value.toPrecision(2);
}
