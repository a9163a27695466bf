import assert from "node:assert/strict";
import { test } from "node:test";

import { type Address, FILTERS, read, write } from "../src/address";
import { LIVE, PRESETS, SHORTEST, between, bounds, moved, recent, same, zoomed } from "../src/range";
import { random } from "./random";

const NOW = Date.UTC(2026, 10, 24, 21, 0, 0);

test("a recent range ends now", () => {
  assert.deepEqual(bounds(recent("1h"), NOW), [NOW - 3_600_000, NOW]);
});

test("an unknown name is live", () => assert.ok(same(recent("2 fortnights"), LIVE)));

test("ends may come in either order and are never nearer than the shortest span", () => {
  const pick = random(1);
  for (let i = 0; i < 500; i += 1) {
    const a = Math.floor(pick() * NOW);
    const b = Math.floor(a + (pick() - 0.5) * 100_000);
    const [from, to] = bounds(between(a, b), NOW);
    assert.ok(to - from >= SHORTEST);
    assert.ok(same(between(a, b), between(b, a)));
  }
});

test("zooming in and out never goes beyond now", () => {
  const pick = random(2);
  for (let i = 0; i < 500; i += 1) {
    const start = NOW - pick() * 1e9;
    const range = zoomed(between(start, start + pick() * 1e8), pick() * 4 + 0.1, NOW);
    assert.ok(bounds(range, NOW)[1] <= Math.max(NOW, start + 1e8));
  }
  const [, end] = bounds(zoomed(recent("15m"), 2, NOW), NOW);
  assert.ok(end <= NOW);
});

test("moving keeps the length and stops at now", () => {
  const range = between(NOW - 7_200_000, NOW - 3_600_000);
  assert.deepEqual(bounds(moved(range, -0.5, NOW), NOW), [NOW - 9_000_000, NOW - 5_400_000]);
  assert.deepEqual(bounds(moved(range, 5, NOW), NOW), [NOW - 3_600_000, NOW]);
});

test("every address that is written reads back", () => {
  const pick = random(3);
  const text = () => Array.from({ length: Math.floor(pick() * 8) }, () =>
    ['a', ':', '&', '=', '"', '<', '%', ' ', 'é', '/', '+', '#'][Math.floor(pick() * 12)]).join("");
  const label = () => "abc"[Math.floor(pick() * 3)]!;
  for (let i = 0; i < 1000; i += 1) {
    const address: Address = {
      range: pick() < 0.5
        ? recent(PRESETS[Math.floor(pick() * PRESETS.length)]!.name)
        : between(Math.floor(pick() * NOW), Math.floor(pick() * NOW)),
      utc: pick() < 0.5,
      filter: text(),
      view: pick() < 0.3 ? null : {
        widget: `w${text()}`,
        by: pick() < 0.5 ? "" : label(),
        where: pick() < 0.5 ? [] : [[label(), text()], [label(), text()]],
        line: pick() < 0.5 ? null : pick() < 0.5 ? [] : [[label(), text()]],
        ref: pick() < 0.5 ? null : 1 + Math.floor(pick() * 1e9),
      },
      findings: pick() < 0.5 ? null : {
        filter: FILTERS[Math.floor(pick() * FILTERS.length)]!, id: text(),
      },
    };
    assert.deepEqual(read(write(address).slice(1)), address);
  }
});

test("nonsense in an address is left out", () => {
  for (const search of ["?range=9y", "?from=x&to=y", "?from=2026-01-01", "?ref=-1&view=", "?where=x"]) {
    const plain = { range: LIVE, utc: false, filter: "", view: null, findings: null };
    assert.deepEqual(read(search), plain);
  }
  assert.equal(read("?view=a&ref=1.5")?.view?.ref, null);
});
