import assert from "node:assert/strict";
import { test } from "node:test";

import { FILTERS, read, write } from "../src/address";
import type { Dashboard, Finding, Labels, Query, Widget } from "../src/contract";
import { lines, panelOf, shownRange, stepOf, unitOf } from "../src/evidence";
import { changes } from "../src/elements/finding-words";
import { shows, touches } from "../src/findings";
import { SCORES, Scores } from "../src/scores";
import { fits, matchers, narrowed, written } from "../src/selector";
import { whenText } from "../src/timetext";
import { random } from "./random";

const QUERY: Query = { match: [], fn: "value", agg: "none", by: [], scale: 1, legend: "", top: 0 };

function widget(...match: string[]): Widget {
  return {
    id: match.join(), plugin: "p", title: "", kind: "timeseries", section: "", unit: "", help: "",
    bad: "", stacked: false, minimum: null, maximum: null, drill_by: [],
    queries: [{ ...QUERY, match }], options: {}, module: "",
  };
}

const found = (start_ms: number, end_ms: number) => ({ start_ms, end_ms }) as Finding;

test("a selector fits the series that it asks for", () => {
  const cases: [string, Labels, boolean][] = [
    ["up", { __name__: "up", job: "a" }, true],
    ["up", { __name__: "upper" }, false],
    ['up{job="a"}', { __name__: "up", job: "a" }, true],
    ['up{job="a"}', { __name__: "up" }, false],
    ['up{job!="a",}', { __name__: "up" }, true],
    ['up{job=~"a|b"}', { __name__: "up", job: "b" }, true],
    ['up{job=~"a|b"}', { __name__: "up", job: "abc" }, false],
    ['up{job!~"a|b"}', { __name__: "up", job: "c" }, true],
    ['{__name__=~"node_.*"}', { __name__: "node_load1" }, true],
    [' up { job = "a" , code = "2\\"0\\n0" } ', { __name__: "up", job: "a", code: '2"0\n0' }, true],
    ["up{job='it'}", { __name__: "up", job: "it" }, true],
    ["up{job=`a\\b`}", { __name__: "up", job: "a\\b" }, true],
    ['up{job="}"}', { __name__: "up", job: "}" }, true],
    ['up{constructor=""}', { __name__: "up" }, true],
  ];
  for (const [selector, labels, expected] of cases) {
    const wanted = matchers(selector);
    assert.ok(wanted, selector);
    assert.equal(fits(wanted, labels), expected, selector);
  }
});

test("what is more than a selector, or a pattern of another syntax, fits nothing", () => {
  for (const text of ["rate(up[5m])", "up + up", 'up{job="a}', "up{job}", "", "up[5m]", 'a{b="c"} d']) {
    assert.equal(matchers(text), null, text);
  }
  assert.equal(fits(matchers('up{job=~"(?i)a"}')!, { __name__: "up", job: "nothing" }), false);
  assert.equal(fits(matchers('up{job!~"("}')!, { __name__: "up", job: "nothing" }), false);
});

test("what is written as a selector is read as the same labels", () => {
  const next = random(11);
  const letters = ["a", '"', "\\", "\n", "}", "{", ",", "=", "é", "<img src=x onerror=alert(1)>"];
  const word = () => Array.from({ length: Math.floor(next() * 5) }, () => letters[Math.floor(next() * letters.length)]).join("");
  for (let i = 0; i < 300; i += 1) {
    const labels: Labels = { __name__: "metric", one: word(), two: word() };
    const wanted = matchers(written(labels));
    assert.ok(wanted, written(labels));
    assert.ok(fits(wanted, labels), written(labels));
    const more = matchers(narrowed("metric{}", [["one", labels.one!]]));
    assert.ok(more && fits(more, labels));
    assert.equal(fits(wanted, { ...labels, two: `${labels.two}x` }), false);
  }
});

test("a chart shows a finding's series, but no group's", () => {
  const load = widget('load{period="1m"}', "other");
  assert.ok(shows(load, { __name__: "load", period: "1m", host: "h" }));
  assert.ok(shows(load, { __name__: "other" }));
  assert.equal(shows(load, { __name__: "load", period: "5m" }), false);
  assert.equal(shows(widget("{}"), { job: "a" }), false);
});

test("a finding touches a range that it shares a moment with", () => {
  assert.ok(touches(found(10, 20), 20, 30));
  assert.ok(touches(found(10, 20), 0, 10));
  assert.ok(touches(found(15, 15), 10, 20));
  assert.equal(touches(found(10, 20), 21, 30), false);
  assert.equal(touches(found(10, 20), 0, 9), false);
});

test("an address holds the list and the open finding", () => {
  const base = read("");
  assert.equal(base.findings, null);
  assert.equal(write({ ...base, findings: { filter: "open", id: "" } }), "/?findings=open");
  assert.equal(write({ ...base, findings: { filter: "open", id: "a/b" } }), "/?finding=a%2Fb");
  for (const filter of FILTERS) {
    for (const id of ["", "x", 'a&b=<img src="x">', "ä%"]) {
      const findings = { filter, id };
      assert.deepEqual(read(write({ ...base, findings }).slice(1)).findings, findings);
    }
  }
  assert.deepEqual(read("?findings=nonsense").findings, { filter: "open", id: "" });
});

test("a matrix becomes lines over common times", () => {
  const matrix = {
    resultType: "matrix",
    result: [
      { metric: { __name__: "up", job: "a" }, values: [[10, "1"], [12, "NaN"], [14, "3.5"]] as [number, string][] },
      { metric: {}, values: [[11, "+Inf"], [13, "2"], [99, "4"]] as [number, string][] },
    ],
  };
  const result = lines(matrix, 10_000, 14_000, 1000);
  assert.deepEqual(result.t, [10_000, 11_000, 12_000, 13_000, 14_000]);
  assert.deepEqual(result.series[0]!.values, [1, null, null, null, 3.5]);
  assert.deepEqual(result.series[1]!.values, [null, null, null, 2, null]);
  assert.deepEqual(result.series.map((one) => one.legend), ['up{job="a"}', "value"]);
  const many = { resultType: "matrix", result: Array.from({ length: 40 }, () => matrix.result[0]!) };
  const cut = lines(many, 0, 1000, 1000);
  assert.equal(cut.series.length, 12);
  assert.ok(cut.truncated);
});

test("a short evidence gets room, a long one keeps its range and few points", () => {
  const at = (start_ms: number, end_ms: number) => ({ query: "up", start_ms, end_ms, note: "" });
  assert.deepEqual(shownRange(at(600_000, 600_000)), [540_000, 660_000]);
  assert.deepEqual(shownRange(at(0, 3_600_000)), [0, 3_600_000]);
  assert.equal(stepOf(0, 1), 1000);
  assert.equal(stepOf(0, 30 * 86_400_000), 6_480_000);
});

test("a plain selector's unit is told by its name", () => {
  assert.equal(unitOf('memory_usage_bytes{state="free"}'), "bytes");
  assert.equal(unitOf("latency_seconds"), "seconds");
  assert.equal(unitOf("rate(a_bytes[5m])"), "");
  assert.equal(panelOf({ query: "x_ratio", start_ms: 0, end_ms: 1, note: "n" }, "t").widget.unit, "ratio");
});

test("a chart has the highest score of the series that it shows", () => {
  const scores = new Scores();
  const some = widget('load{period="1m"}', "memory");
  const dashboard = { sections: [{ name: "s", widgets: [some] }] } as unknown as Dashboard;
  scores.prepare(dashboard);
  assert.deepEqual(scores.query?.by, ["metric", "period"]);
  assert.equal(scores.of(some), null);
  const heads = [{ metric: "load", period: "1m" }, { metric: "load", period: "5m" }, { metric: "memory" }];
  const lines = new Map([[SCORES, heads.map((labels) => ({ labels, legend: "" }))]]);
  scores.follow({ t: 0, skipped: 0, values: { [SCORES]: [0.2, 0.9, 0.4] }, lines });
  assert.equal(scores.of(some), 0.4);
  assert.equal(scores.of(widget("load")), 0.9);
  assert.equal(scores.of(widget("elsewhere")), null);
  scores.follow({ t: 1, skipped: 0, values: { [SCORES]: [0.7, null, 0] }, lines });
  assert.equal(scores.of(some), 0.7);
  const series = [{ labels: heads[0]!, legend: "", values: [0.1, null, 0.3], max: [0.2, null, 0.8] }];
  scores.fill({ step_ms: 1, level_ms: 0, t: [0, 1, 2], truncated: false, series });
  assert.equal(scores.of(some), 0.8);
  scores.clear();
  assert.equal(scores.of(some), null);
});

test("what can be done leads to another state, and a dismissed one can only be opened again", () => {
  for (const state of ["open", "acknowledged", "dismissed", "resolved"] as const) {
    const to = changes(state).map((one) => one.to);
    assert.ok(to.length && !to.includes(state));
  }
  assert.deepEqual(changes("dismissed").map((one) => one.to), ["open"]);
});

test("a moment is one time, a span is two", () => {
  const at = Date.UTC(2026, 10, 24, 12, 3, 4);
  assert.equal(whenText(at, at, true), "11-24 12:03:04");
  assert.equal(whenText(at, at + 5000, true), "11-24 12:03:04 – 12:03:09");
});
