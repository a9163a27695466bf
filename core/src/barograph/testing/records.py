"""What ``barograph.contracts.Records`` promises, tried on a real store."""

from __future__ import annotations

from barograph.contracts import Records

_KIND = "check_records"


def check_records(store: Records) -> None:
    """Rows are kept by kind and id, replaced, listed by id and forgotten; any text comes back."""
    before = list(store.records(_KIND))
    assert before == [], f"records: {len(before)} rows of a kind that nobody wrote"
    rows = [("b", 2, '{"n": 1}'), ("a", 2**45, '"\u00fc \\u0000 \'; --"'), ("", 0, "null")]
    store.put_records(_KIND, rows)
    store.put_records(f"{_KIND}_other", [("b", 1, "0")])
    _same(store, sorted(rows), "after writing")
    store.put_records(_KIND, [("b", 3, "[]")])
    store.put_records(_KIND, [])
    _same(store, [*sorted(rows)[:2], ("b", 3, "[]")], "after a row was written again")
    store.remove_records(_KIND, ["a", "never there"])
    _same(store, [("", 0, "null"), ("b", 3, "[]")], "after a row was removed")
    many = [(f"{i:04}", i, str(i)) for i in range(2000)]
    store.put_records(_KIND, many)
    store.remove_records(_KIND, ["", "b"])
    _same(store, many, "of two thousand rows")
    store.remove_records(_KIND, [id for id, _, _ in many])
    store.remove_records(f"{_KIND}_other", ["b"])
    _same(store, [], "after all were removed")


def _same(store: Records, want: list[tuple[str, int, str]], when: str) -> None:
    found = list(store.records(_KIND))
    assert found == want, f"records: {when}, {found[:5]} instead of {want[:5]}"
