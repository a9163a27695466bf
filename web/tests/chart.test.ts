import assert from "node:assert/strict";
import { test } from "node:test";

import type { RangeResult, Value, Widget } from "../src/contract";
import { look } from "../src/palette";
import { Panel } from "../src/panel";
import { scaleFor, ticksOf } from "../src/scale";
import { drilled, narrowed, written } from "../src/selector";
import { stacked, summary, trend } from "../src/stack";
import { random } from "./random";

const QUERY = { match: ["m"], fn: "value", agg: "none", by: [], scale: 1, legend: "", top: 0 };
const WIDGET: Widget = {
  id: "p.w", plugin: "p", title: "", kind: "timeseries", section: "", unit: "", help: "", bad: "",
  stacked: false, minimum: null, maximum: null, drill_by: [], queries: [QUERY], options: {}, module: "",
};

function answer(step: number, t: number[], lines: Record<string, Value[]>): RangeResult {
  const series = Object.entries(lines).map(([legend, values]) => ({
    labels: { name: legend }, legend, values: [...values],
  }));
  return { step_ms: step, level_ms: 0, t: [...t], truncated: false, series };
}

function tick(panel: Panel, time: number, from: number, values: Record<string, number>): void {
  const lines = Object.keys(values).map((legend) => ({ labels: { name: legend }, legend }));
  panel.fold(time, from, [{ lines, values: Object.values(values) }]);
}

const filled = (step: number, t: number[], lines: Record<string, Value[]>, until: number) => {
  const panel = new Panel("p.w", WIDGET);
  panel.fill([answer(step, t, lines)], until, 1000, true);
  return panel;
};

test("ticks are appended and old points go", () => {
  const panel = filled(1000, [1000, 2000, 3000], { a: [1, 2, 3] }, 3000);
  for (let i = 4; i <= 20; i += 1) tick(panel, i * 1000 + 130, i * 1000 - 5000, { a: i });
  assert.deepEqual(panel.t, [14, 15, 16, 17, 18, 19, 20].map((s) => s * 1000));
  assert.deepEqual(panel.lines[0]!.values, [14, 15, 16, 17, 18, 19, 20]);
});

test("ticks of one step become their mean", () => {
  const panel = filled(10_000, [0], { a: [4] }, 2000);
  tick(panel, 2500, -1e6, { a: 10 });
  assert.ok(Math.abs(panel.lines[0]!.values[0]! - 6) < 1e-9);
  tick(panel, 10_100, -1e6, { a: 1 });
  tick(panel, 11_100, -1e6, { a: 3 });
  tick(panel, 12_100, -1e6, { a: 5 });
  assert.deepEqual(panel.t, [0, 10_000]);
  assert.ok(Math.abs(panel.lines[0]!.values[1]! - 3) < 1e-9);
});

test("a gap stays a gap, one late tick is none", () => {
  const panel = filled(1000, [1000], { a: [1] }, 1000);
  tick(panel, 3000, 0, { a: 3 });
  assert.deepEqual(panel.t, [1000, 3000]);
  tick(panel, 9000, 0, { a: 9 });
  assert.deepEqual(panel.lines[0]!.values, [1, 3, null, 9]);
});

test("a tick from the past changes nothing", () => {
  const panel = filled(1000, [1000, 2000], { a: [1, 2] }, 2000);
  tick(panel, 1500, 0, { a: 99 });
  assert.deepEqual(panel.lines[0]!.values, [1, 2]);
});

test("lines come and go, and keep their colour", () => {
  const panel = filled(1000, [1000], { a: [1], b: [1] }, 1000);
  tick(panel, 2000, 0, { b: 2, c: 2 });
  assert.deepEqual(panel.lines.map((line) => [line.legend, line.slot]), [["a", 0], ["b", 1], ["c", 2]]);
  for (let i = 3; i < 9; i += 1) tick(panel, i * 1000, i * 1000 - 2000, { b: 2, c: 2 });
  assert.deepEqual(panel.lines.map((line) => [line.legend, line.slot]), [["b", 1], ["c", 2]]);
  tick(panel, 9000, 7000, { b: 2, c: 2, d: 2 });
  assert.equal(panel.lines[2]!.slot, 0);
});

test("all columns always have the length of the times", () => {
  const pick = random(7);
  const panel = filled(2000, [0], { a: [1] }, 0);
  let time = 0;
  for (let i = 0; i < 2000; i += 1) {
    time += Math.floor(pick() * 9000) - 500;
    const names = ["a", "b", "c", "d"].filter(() => pick() < 0.5);
    tick(panel, Math.max(time, 0), time - 30_000, Object.fromEntries(names.map((n) => [n, pick()])));
    for (const line of panel.lines) assert.equal(line.values.length, panel.t.length);
    assert.ok(panel.t.every((t, j) => j === 0 || t > panel.t[j - 1]!));
    assert.ok(panel.t.length < 40);
    assert.equal(new Set(panel.lines.map((line) => line.slot)).size, panel.lines.length);
  }
});

test("a failed query is told as it is", () => {
  const panel = new Panel("p.w", WIDGET);
  panel.fill([{ ...answer(1000, [], {}), error: "bad selector" }], 0, 1000, true);
  assert.deepEqual([panel.state, panel.error], ["error", "bad selector"]);
});

test("stacks are running sums, empty only where all lines are", () => {
  const pick = random(5);
  for (let round = 0; round < 200; round += 1) {
    const lines = Array.from({ length: 1 + Math.floor(pick() * 5) }, () =>
      Array.from({ length: 9 }, (): Value => (pick() < 0.3 ? null : pick() * 10)));
    const sums = stacked(lines, 9);
    for (let i = 0; i < 9; i += 1) {
      const column = lines.map((line) => line[i]!);
      const empty = column.every((value) => value === null);
      column.forEach((_, k) => {
        const expected = column.slice(0, k + 1).reduce<number>((a, b) => a + (b ?? 0), 0);
        if (empty) assert.equal(sums[k]![i], null);
        else assert.ok(Math.abs(sums[k]![i]! - expected) < 1e-9);
      });
    }
  }
});

test("a summary skips gaps", () => {
  assert.deepEqual(summary([null, 2, null, 4, null]), { last: 4, min: 2, mean: 3, max: 4 });
  assert.deepEqual(summary([null]), { last: null, min: null, mean: null, max: null });
});

test("trends are told from beginning and end", () => {
  assert.equal(trend([1, 1, 1, 1, 2, 2, 2, 2]), "rising");
  assert.equal(trend([2, 2, 2, 2, 1, 1, 1, 1]), "falling");
  assert.equal(trend([1, 2, 1, 2, 1, 2, 1, 2]), "steady");
});

test("an axis holds its data and has few ticks", () => {
  const pick = random(9);
  for (let i = 0; i < 2000; i += 1) {
    const low = pick() < 0.3 ? 0 : (pick() - 0.3) * 10 ** (pick() * 18 - 6);
    const high = low + pick() * 10 ** (pick() * 18 - 6);
    for (const unit of ["", "bytes", "seconds"]) {
      const scale = scaleFor(low, high, unit, null, null, 150);
      const room = (scale.max - scale.min) * 1e-6;
      assert.ok(scale.min <= low + room && scale.max >= high - room, JSON.stringify([low, high, scale]));
      const ticks = ticksOf(scale);
      assert.ok(ticks.length >= 2 && ticks.length <= 12, JSON.stringify([low, high, unit, ticks]));
    }
  }
});

test("a ratio's axis begins at its minimum and never passes its maximum", () => {
  assert.deepEqual(scaleFor(0.2, 0.9, "ratio", 0, 1, 150).max, 1);
  assert.equal(scaleFor(0.2, 1.3, "ratio", 0, 1, 150).max, 1);
  assert.equal(scaleFor(0.02, 0.03, "ratio", 0, 1, 150).min, 0);
  assert.ok(scaleFor(0.02, 0.03, "ratio", 0, 1, 150).max < 0.06);
});

test("thirty-two lines all look different", () => {
  for (const dark of [true, false]) {
    const looks = Array.from({ length: 32 }, (_, slot) => JSON.stringify(look(slot, dark)));
    assert.equal(new Set(looks).size, 32);
  }
});

test("selectors are narrowed without breaking out of their quotes", () => {
  assert.equal(narrowed("up", [["job", "a"]]), 'up{job="a"}');
  assert.equal(narrowed("up{}", [["job", "a"]]), 'up{job="a"}');
  assert.equal(narrowed('up{x="}"}', [["job", "a"]]), 'up{x="}",job="a"}');
  assert.equal(narrowed("up", [["job", 'a"} or {x="\\']]), 'up{job="a\\"} or {x=\\"\\\\"}');
  assert.equal(narrowed("up", [["not a label", "a"], ["__name__", "down"]]), "up");
  assert.equal(written({ __name__: "up", job: 'a"' }), 'up{job="a\\""}');
});

test("a drill-down sums counts and averages ratios", () => {
  const by = (unit: string) => drilled({ ...WIDGET, unit }, "device", [["host", "h"]]).queries[0]!;
  assert.deepEqual([by("bytes").agg, by("ratio").agg, by("").by], ["sum", "mean", ["device"]]);
  assert.equal(by("").match[0], 'm{host="h"}');
});
