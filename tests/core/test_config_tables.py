"""Options that are lists of tables: ``[[plugins.NAME.KEY]]``."""

from __future__ import annotations

from pathlib import Path

import pytest

from barograph.config import ConfigErrors, Duration, load_config, option, options
from barograph.config.schema import describe


@options
class Inner:
    word: str = option("", help="A word")


@options
class Table:
    name: str = option("", help="Its name")
    wait: Duration = option("1s", help="A time", minimum=0.5)
    inner: tuple[Inner, ...] = option((), help="Tables in it")

    def __attrs_post_init__(self) -> None:
        if not self.name:
            raise ValueError('it needs a "name"')


@options
class Options:
    tables: tuple[Table, ...] = option((), help="Some tables")


def load(tmp_path: Path, text: str, suffix: str = ".toml") -> Options:
    path = tmp_path / f"c{suffix}"
    path.write_text(text)
    found = load_config(path, plugin_configs={"p": Options}).plugins["p"].options
    assert isinstance(found, Options)
    return found


TOML = """
[[plugins.p.tables]]
name = "a"
wait = "2s"
[[plugins.p.tables.inner]]
word = "x"
[[plugins.p.tables.inner]]
[[plugins.p.tables]]
name = "b"
"""
YAML = "plugins: {p: {tables: [{name: a, wait: 2s, inner: [{word: x}, {}]}, {name: b}]}}"


@pytest.mark.parametrize(("text", "suffix"), [(TOML, ".toml"), (YAML, ".yaml")])
def test_tables_become_objects_with_defaults(tmp_path: Path, text: str, suffix: str) -> None:
    found = load(tmp_path, text, suffix)
    assert found.tables == (
        Table("a", Duration(2.0), (Inner("x"), Inner(""))), Table("b", Duration(1.0)),
    )  # fmt: skip


MISTAKES = [
    ("plugins.p.tables = 1", "expected a list of tables, not 1"),
    ("plugins.p.tables = [1]", "number 1 must be a table, not 1"),
    ("plugins.p.tables = [{name = 'a'}, {nam = 'a'}]",
     'number 2: unknown key "nam"; did you mean "name"?'),
    ("plugins.p.tables = [{name = 1}]", 'number 1: "name": expected a text, not 1'),
    ("plugins.p.tables = [{name = 'a', wait = '0s'}]", 'number 1: "wait": must be at least 500ms'),
    ("plugins.p.tables = [{}]", 'number 1: it needs a "name"'),
    ("plugins.p.tables = [{name = 'a', inner = [{}, {word = 2}]}]",
     'number 1: "inner": number 2: "word": expected a text, not 2'),
]  # fmt: skip


@pytest.mark.parametrize(("text", "told"), MISTAKES)
def test_a_mistake_is_told_with_its_place(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ConfigErrors) as error:
        load(tmp_path, text)
    assert told in str(error.value)
    assert "c.toml:1" in str(error.value)


def test_the_reference_calls_it_a_list_of_tables() -> None:
    docs = {doc.key: doc for doc in describe({"p": Options}) if doc.section == "plugins.p"}
    assert (docs["tables"].type, docs["tables"].default) == ("list of tables", "[]")
