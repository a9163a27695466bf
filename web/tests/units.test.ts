import assert from "node:assert/strict";
import { test } from "node:test";

import { format, quantity, ticks } from "../src/units";

const CASES: [number | null, string, string][] = [
  [0, "bytes", "0 B"],
  [1023, "bytes", "1023 B"],
  [1024, "bytes", "1.00 KiB"],
  [1536, "bytes", "1.50 KiB"],
  [22 * 2 ** 30, "bytes", "22.0 GiB"],
  [790, "bytes/s", "790 B/s"],
  [5 * 2 ** 20, "bytes/s", "5.00 MiB/s"],
  [0, "ratio", "0%"],
  [0.0464, "ratio", "4.64%"],
  [1, "ratio", "100%"],
  [0.00001, "ratio", "0.0010%"],
  [0, "seconds", "0 s"],
  [0.00025, "seconds", "250 µs"],
  [0.0312, "seconds", "31.2 ms"],
  [90, "seconds", "90.0 s"],
  [600, "seconds", "10.0 min"],
  [86400 * 3, "seconds", "3.00 d"],
  [1.75, "cores", "1.75 cores"],
  [2_400_000_000, "hertz", "2.40 GHz"],
  [41.27, "celsius", "41.3 °C"],
  [12_345, "", "12.3 k"],
  [12_345, "ops/s", "12.3 k ops/s"],
  [-2048, "bytes", "-2.00 KiB"],
  [null, "bytes", "–"],
  [Number.NaN, "ratio", "–"],
];

for (const [value, unit, text] of CASES) {
  test(`${value} ${unit} reads ${text}`, () => assert.equal(format(value, unit), text));
}

test("number and unit can be set apart", () => {
  assert.deepEqual(quantity(0.5, "ratio"), { number: "50.0", unit: "%" });
  assert.deepEqual(quantity(3, ""), { number: "3", unit: "" });
});

test("ticks share one unit and have just the digits they need", () => {
  assert.deepEqual(ticks([0, 0.25, 0.5], "ratio"), ["0%", "25%", "50%"]);
  assert.deepEqual(ticks([0, 0.005, 0.01], "ratio"), ["0.0%", "0.5%", "1.0%"]);
  assert.deepEqual(ticks([0, 2 ** 33, 2 ** 34], "bytes"), ["0 GiB", "8 GiB", "16 GiB"]);
  assert.deepEqual(ticks([0, 2.5, 5], "cores"), ["0.0", "2.5", "5.0"]);
  assert.deepEqual(ticks([0, 0.00025], "seconds"), ["0 µs", "250 µs"]);
});

test("no two ticks of an axis read the same", () => {
  for (const step of [0.0025, 0.01, 0.25, 1, 2.5, 500, 2000, 250_000]) {
    for (const unit of ["", "ratio", "seconds", "cores", "hertz"]) {
      const texts = ticks([0, 1, 2, 3, 4].map((n) => n * step), unit);
      assert.equal(new Set(texts).size, 5, `${step} ${unit}: ${texts}`);
    }
  }
});
