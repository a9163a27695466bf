# ruff: noqa: E501 — tables of cases, a line each
"""Configuration: what is read, and what is told about every mistake."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest
import tomli
import yaml
from hypothesis import given
from hypothesis import strategies as st

from barograph.config import Config, ConfigErrors, Duration, Size, load_config, option, options
from barograph.config.edit import set_enabled, template
from barograph.config.places import toml_places
from barograph.config.schema import Unjudged, describe
from barograph.config.units import (
    MAX_BYTES,
    duration_text,
    parse_duration,
    parse_size,
    size_text,
)


@options
class Weather:
    """Options of a plugin as a stranger would write them."""

    every: Duration = option("5s", help="How often", minimum=1, maximum=3600)
    cache: Size = option("8MiB", help="Memory to use", minimum=4096)
    ratio: float = option(0.5, help="A share", minimum=0, maximum=1)
    count: int = option(3, help="How many", minimum=1)
    loud: bool = option(False, help="Whether to tell")
    mode: str = option("fast", help="How", choices=("fast", "exact"))
    folder: Path = option(Path("/tmp"), help="Where")
    names: tuple[str, ...] = option(("a",), help="Which")
    steps: tuple[Duration, ...] = option((Duration(1.0),), help="Steps")
    tags: Mapping[str, str] = option({}, help="Tags")


PLUGINS: dict[str, type | None] = {"weather": Weather, "plain": None, "broken": Unjudged}


def load(path: Path | None = None, env: Mapping[str, str] | None = None, **more: Any) -> Config:
    return load_config(path, env, plugin_configs=PLUGINS, **more)


def written(tmp_path: Path, text: str, name: str = "barograph.toml") -> Path:
    path = tmp_path / name
    path.write_text(text, "utf-8")
    return path


def mistakes(
    path: Path | None = None, env: Mapping[str, str] | None = None, **more: Any
) -> list[str]:
    with pytest.raises(ConfigErrors) as caught:
        load(path, env, **more)
    return [f"{m.where.replace(str(path), 'FILE')}: {m.message}" for m in caught.value.mistakes]


# --- what is read -------------------------------------------------------------------------------


def test_without_a_file_the_defaults_hold() -> None:
    config = load()
    assert config.server.port == 10132
    assert config.monitor.interval_s == 1.0
    assert config.rollup.levels_ms == (5000, 60_000, 300_000, 3_600_000)
    assert config.plugins["weather"].options == Weather()
    assert config.plugins["plain"].enabled


FULL = """
[monitor]
interval = "500ms"
labels = {dc = "fra", "rack" = "7"}
[server]
port = 0
allowed_hosts = ["a.example"]
[rollup]
levels = ["10s", 60]
[plugins.weather]
enabled = false
every = "1m30s"
cache = "2GB"
ratio = 1
loud = true
mode = "exact"
folder = "~/x"
names = []
steps = ["1d", 2.5]
tags.one = "1"
"""
FULL_YAML = """
monitor: {interval: 500ms, labels: {dc: fra, rack: "7"}}
server:
  port: 0
  allowed_hosts: [a.example]
rollup:
  levels: [10s, 60]
plugins:
  weather:
    enabled: false
    every: 1m30s
    cache: 2GB
    ratio: 1
    loud: true
    mode: exact
    folder: ~/x
    names: []
    steps: [1d, 2.5]
    tags: {one: "1"}
"""


@pytest.mark.parametrize(("name", "text"), [("b.toml", FULL), ("b.yaml", FULL_YAML),
                                            ("b.yml", FULL_YAML), ("bom.toml", "\ufeff" + FULL)])  # fmt: skip
def test_toml_and_yaml_with_the_same_keys_mean_the_same(
    tmp_path: Path, name: str, text: str
) -> None:
    path = written(tmp_path, text, name)
    config = load(path)
    assert config.path == path
    assert config.monitor.interval == 0.5
    assert config.monitor.labels == {"dc": "fra", "rack": "7"}
    assert config.server.port == 0
    assert config.server.allowed_hosts == ("a.example",)
    assert config.rollup.levels_ms == (10_000, 60_000)
    weather = config.plugins["weather"]
    assert not weather.enabled
    assert weather.options == Weather(
        every=Duration(90.0), cache=Size(2 * 10**9), ratio=1.0, loud=True, mode="exact",
        folder=Path("~/x"), names=(), steps=(Duration(86400.0), Duration(2.5)), tags={"one": "1"},
    )  # fmt: skip
    assert isinstance(weather.options.ratio, float)


def test_environment_goes_over_the_file_and_flags_over_both(tmp_path: Path) -> None:
    path = written(tmp_path, "[server]\nport = 1\nhost = '::1'\n")
    env = {"BAROGRAPH_SERVER__PORT": "2", "PATH": "/bin"}
    assert load(path).server.port == 1
    config = load(path, env)
    assert (config.server.port, config.server.host) == (2, "::1")
    assert load(path, env, overrides={"server.port": 3}).server.port == 3


@pytest.mark.parametrize(
    ("name", "text", "section", "key", "value"),
    [
        ("MONITOR__INTERVAL", "2s", "monitor", "interval", 2.0),
        ("MONITOR__INTERVAL", "2", "monitor", "interval", 2.0),
        ("MONITOR__LABELS", '{dc = "fra"}', "monitor", "labels", {"dc": "fra"}),
        ("MONITOR__LABELS__RACK", "7", "monitor", "labels", {"rack": "7"}),
        ("MONITOR__DATA_DIR", "/srv/2024-01-01", "monitor", "data_dir", Path("/srv/2024-01-01")),
        ("MONITOR__DATA_DIR", "12", "monitor", "data_dir", Path("12")),
        ("SERVER__HOST", "127.0.0.1", "server", "host", "127.0.0.1"),
        ("SERVER__NO_AUTH", "true", "server", "no_auth", True),
        ("SERVER__ALLOWED_HOSTS", '["a", "b"]', "server", "allowed_hosts", ("a", "b")),
        ("STORAGE__STORE", "true", "storage", "store", "true"),
    ],
)
def test_a_variable_is_read_as_its_option_s_type(
    name: str, text: str, section: str, key: str, value: object
) -> None:
    config = load(env={f"BAROGRAPH_{name}": text})
    assert getattr(getattr(config, section), key) == value


def test_a_variable_reaches_a_plugin_whose_name_has_a_dash() -> None:
    env = {"BAROGRAPH_PLUGINS__MY_GPU__COUNT": "4", "BAROGRAPH_PLUGINS__PLAIN__ENABLED": "false"}
    config = load_config(env=env, plugin_configs={"my-gpu": Weather, "plain": None})
    assert config.plugins["my-gpu"].options.count == 4
    assert not config.plugins["plain"].enabled


def test_reserved_variables_are_no_options() -> None:
    names = ("CONFIG", "TOKEN", "CI", "FULL", "SKIP_WEB")
    assert load(env={f"BAROGRAPH_{name}": "x" for name in names}) == load()


def test_options_of_a_plugin_that_could_not_be_imported_are_not_judged(tmp_path: Path) -> None:
    path = written(tmp_path, "[plugins.broken]\nwho = 'knows'\nenabled = false\n")
    assert not load(path).plugins["broken"].enabled


# --- mistakes -----------------------------------------------------------------------------------

CASES = [
    ("[monitor]\nintervall = '1s'", 'FILE:2:1: unknown key "intervall" in [monitor]; did you mean "interval"?'),
    ("[monitor]\n  zzz = 1", 'FILE:2:3: unknown key "zzz" in [monitor]; known: data_dir, interval, '
     "labels, max_series_per_source, plugin_order, queue_batches, shutdown_deadline"),
    ("[montior]\n", 'FILE:1:1: unknown section "montior"; did you mean "monitor"?'),
    ("[weather]\n", "FILE:1:1: unknown section [weather]; options of a plugin stand in [plugins.weather]"),
    ("interval = '1s'", 'FILE:1:1: "interval" stands outside a section; it belongs under [monitor]'),
    ("server = 5", "FILE:1:1: [server] must be a table of options, not 5"),
    ("plugins = 5", "FILE:1:1: [plugins] must hold tables such as [plugins.system]"),
    ("[plugins]\nweather = 5", "FILE:2:1: [plugins.weather] must be a table of options, not 5"),
    ("[plugins.wether]", 'FILE:1:1: plugin "wether" is not installed; did you mean "weather"?'),
    ("[plugins.kafka]", 'FILE:1:1: plugin "kafka" is not installed; install it with: pip install barograph-kafka'),
    ("[plugins.'a b; rm']", 'FILE:1:1: plugin "a b; rm" is not installed'),
    ("[plugins.plain]\nx = 1", 'FILE:2:1: unknown key "x" in [plugins.plain]: this plugin has no options'),
    ("[plugins.plain]\nenabled = 'yes'", "FILE:2:1: \"enabled\" in [plugins.plain]: expected true or false, not 'yes'"),
    ("[plugins]\nweather.evry = 1", 'FILE:2:9: unknown key "evry" in [plugins.weather]; did you mean "every"?'),
    ("[plugins.weather]\nevery = '30 sec'",
     "FILE:2:1: \"every\" in [plugins.weather]: expected a duration such as 5s, 1m30s or 7d, not '30 sec'"),
    ("[plugins.weather]\nevery = -1",
     'FILE:2:1: "every" in [plugins.weather]: expected a duration such as 5s, 1m30s or 7d, not -1'),
    ("[plugins.weather]\nevery = '10ms'", "FILE:2:1: \"every\" in [plugins.weather]: must be at least 1s, not '10ms'"),
    ("[plugins.weather]\nevery = '2h'", "FILE:2:1: \"every\" in [plugins.weather]: must be at most 1h, not '2h'"),
    ("[plugins.weather]\ncache = '1 parsec'",
     "FILE:2:1: \"cache\" in [plugins.weather]: expected a size such as 64MiB, 2GB or 4096, not '1 parsec'"),
    ("[plugins.weather]\ncache = 1", 'FILE:2:1: "cache" in [plugins.weather]: must be at least 4KiB, not 1'),
    ("[plugins.weather]\nratio = nan", 'FILE:2:1: "ratio" in [plugins.weather]: expected a finite number, not nan'),
    ("[plugins.weather]\nratio = '1'", "FILE:2:1: \"ratio\" in [plugins.weather]: expected a number, not '1'"),
    ("[plugins.weather]\ncount = true", 'FILE:2:1: "count" in [plugins.weather]: expected an integer, not True'),
    ("[plugins.weather]\ncount = 0", 'FILE:2:1: "count" in [plugins.weather]: must be at least 1, not 0'),
    ("[plugins.weather]\nmode = 'slow'", "FILE:2:1: \"mode\" in [plugins.weather]: 'slow' is not one of fast, exact"),
    ("[plugins.weather]\nnames = 'a'",
     'FILE:2:1: "names" in [plugins.weather]: expected a list of texts such as ["one", "two"], not \'a\''),
    ("[plugins.weather]\nnames = [1]", 'FILE:2:1: "names" in [plugins.weather]: expected a text, not 1'),
    ("[plugins.weather]\ntags = {a = 1}", 'FILE:2:1: "tags" in [plugins.weather]: expected a text, not 1'),
    ("[monitor]\nlabels = {'a b' = 'x'}",
     'FILE:2:1: "labels" in [monitor]: \'a b\' is no label name; use letters, digits and "_"'),
    ("[server]\nport = 70000", 'FILE:2:1: "port" in [server]: must be at most 65535, not 70000'),
    ("[server]\nhost = ''", 'FILE:2:1: "host" in [server]: must not be empty'),
    ("[rollup]\nlevels = ['5s', '7s']", 'FILE:2:1: "levels" in [rollup]: each must be a multiple of the one '
     'before, such as ["5s", "1m", "5m", "1h"]'),
    ("[monitor]\nplugin_order = ['wether']", 'FILE:2:1: "plugin_order" in [monitor] names "wether", '
     'which is not installed; did you mean "weather"?'),
    ("[monitor\n", "FILE:1:9: not valid TOML: Expected ']' at the end of a table declaration"),
    ("a = 1\na = 2", "FILE:2:6: not valid TOML: Cannot overwrite a value"),
    ('s = """\n[monitor]\nx = 1"""\n[monitor]\ny = 1',
     'FILE:5:1: unknown key "y" in [monitor]; known: data_dir, interval, labels, max_series_per_source, '
     "plugin_order, queue_batches, shutdown_deadline"),
]  # fmt: skip


LEVELS = [
    ("[]", "there must be one at least, and at most 8"),
    (
        "['1s','2s','4s','8s','16s','32s','64s','128s','256s']",
        "there must be one at least, and at most 8",
    ),
    ("['1m','5s']", "each must be a multiple of the one before"),
    ("['5s','5s']", "each must be a multiple of the one before"),
    ("['0.1ms']", "each must be a multiple of the one before"),
]


@pytest.mark.parametrize(("levels", "told"), LEVELS)
def test_levels_that_cannot_be_are_told(tmp_path: Path, levels: str, told: str) -> None:
    found = mistakes(written(tmp_path, f"[rollup]\nlevels = {levels}"))
    assert found == [f'FILE:2:1: "levels" in [rollup]: {told}, such as ["5s", "1m", "5m", "1h"]']


@pytest.mark.parametrize(("text", "told"), CASES, ids=lambda value: str(value)[:40])
def test_a_mistake_is_told_with_place_key_expectation_and_nearest_name(
    tmp_path: Path, text: str, told: str
) -> None:
    assert told in mistakes(written(tmp_path, text))


YAML_CASES = [
    ("monitor:\n  intervall: 1s", 'FILE:2:3: unknown key "intervall" in [monitor]; did you mean "interval"?'),
    ("monitor:\n  interval: 1s\n  interval: 2s", 'FILE:3:3: "interval" stands twice'),
    ("1: 2", 'FILE:1:1: unknown section "1"; known: monitor, plugins, rollup, server, storage'),
    ("plugins: {1: {}}", 'FILE:1:11: plugin "1" is not installed; install it with: pip install barograph-1'),
    ("plugins: {weather: {null: 1}}", 'FILE:1:11: unknown key "None" in [plugins.weather]; known: cache, '
     "count, every, folder, loud, mode, names, ratio, steps, tags"),
    ("[1, 2]", "FILE: the configuration must be a table of sections"),
    ("a: [", "FILE:1:5: not valid YAML: expected the node content, but found '<stream end>'"),
    ("server: {port: 1970-01-01}", 'FILE:1:10: "port" in [server]: expected an integer, not '
     "datetime.date(1970, 1, 1)"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "told"), YAML_CASES, ids=lambda value: str(value)[:40])
def test_a_mistake_in_yaml_is_told_as_well(tmp_path: Path, text: str, told: str) -> None:
    assert told in mistakes(written(tmp_path, text, "barograph.yaml"))


@pytest.mark.parametrize("text", ["!!python/object:os.system {}", "!!timestamp x", "!!bool maybe",
                                  "!!int x", "a: !!float []", "\x00", "? [a]\n: b"])  # fmt: skip
def test_odd_yaml_is_a_mistake_and_never_code(tmp_path: Path, text: str) -> None:
    assert len(mistakes(written(tmp_path, text, "barograph.yaml"))) == 1


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    text = """
[monitor]
intervall = "1s"
queue_batches = 0
[server]
port = "eighty"
[rollup]
levels = ["1m", "5s"]
[plugins.weather]
every = "soon"
"""
    found = mistakes(written(tmp_path, text), {"BAROGRAPH_SERVER__HSOT": "x"})
    assert [line.split(":")[1] for line in found if line.startswith("FILE")] == [
        "3", "4", "6", "10", "8",
    ]  # fmt: skip
    assert 'BAROGRAPH_SERVER__HSOT: unknown key "hsot" in [server]; did you mean "host"?' in found
    assert len(found) == 6


ENV_CASES = [
    ("SERVER__PORT", "many", "BAROGRAPH_SERVER__PORT: \"port\" in [server]: expected an integer, not 'many'"),
    ("SERVER", "5", "BAROGRAPH_SERVER: [server] must be a table of options, not '5'"),
    ("SERVR__PORT", "5", 'BAROGRAPH_SERVR__PORT: unknown section "servr"; did you mean "server"?'),
    ("PLUGINS__WEATHER__COUNT", "0",
     "BAROGRAPH_PLUGINS__WEATHER__COUNT: \"count\" in [plugins.weather]: must be at least 1, not 0"),
    ("PLUGINS", "1", "BAROGRAPH_PLUGINS: [plugins] must hold tables such as [plugins.system]"),
    ("", "1", 'BAROGRAPH_: unknown section ""; known: monitor, plugins, rollup, server, storage'),
    ("MONITOR__INTERVAL", "1\n[x]\ny=2",
     'BAROGRAPH_MONITOR__INTERVAL: "interval" in [monitor]: expected a duration such as 5s, 1m30s or 7d, '
     r"not '1\n[x]\ny=2'"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "told"), ENV_CASES, ids=lambda value: str(value)[:30])
def test_a_mistake_in_the_environment_names_the_variable(name: str, text: str, told: str) -> None:
    assert told in mistakes(env={f"BAROGRAPH_{name}": text})


def test_a_mistake_in_a_flag_names_the_flag() -> None:
    told = 'flag --port: "port" in [server]: must be at least 0, not -1'
    assert mistakes(overrides={"server.port": -1}) == [told]


def test_a_variable_does_not_hide_a_mistake_of_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, "server = 5\n")
    assert mistakes(path, {"BAROGRAPH_SERVER__PORT": "1"}) == [
        "FILE:1:1: [server] must be a table, not 5"
    ]


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    assert mistakes(tmp_path / "none.toml") == [
        "FILE: cannot read the configuration: No such file or directory"
    ]
    assert "Is a directory" in mistakes(tmp_path)[0]
    path = tmp_path / "binary.toml"
    path.write_bytes(b"a = '\xff'")
    assert mistakes(path) == ["FILE: the configuration is not UTF-8 text: byte 5"]


def test_a_validator_of_a_plugin_s_own_is_a_mistake_not_a_traceback(tmp_path: Path) -> None:
    @attrs.frozen
    class Odd:
        a: int = attrs.field(default=2, validator=lambda _, __, v: 1 / (v - 1))

    with pytest.raises(ConfigErrors, match="division by zero"):
        load_config(written(tmp_path, "[plugins.odd]\na = 1"), plugin_configs={"odd": Odd})


def test_aliases_that_stand_for_billions_are_read_at_once(tmp_path: Path) -> None:
    lines = ["a0: &a0 {x: y}"]
    for i in range(1, 40):
        inner = ", ".join(f"k{j}: *a{i - 1}" for j in range(9))
        lines.append(f"a{i}: &a{i} {{{inner}}}")
    found = mistakes(written(tmp_path, "\n".join([*lines, "server: *a39"]), "bomb.yaml"))
    assert len(found) == 49  # 40 unknown sections, 9 unknown keys
    assert max(map(len, found)) < 300


# --- fuzz: never a traceback ------------------------------------------------------------------------

words = st.sampled_from(
    ["monitor", "server", "storage", "rollup", "plugins", "weather", "plain", "broken", "enabled",
     "interval", "port", "host", "levels", "labels", "data_dir", "every", "cache", "names", "tags",
     "[", "]", "[[", "]]", "{", "}", "=", ".", ",", "\n", " ", "#", '"', "'", '"""', "1", "-1", "5s",
     "true", "nan", "inf", "1979-05-27T07:32:00Z", "0xff", "1e999", ":", "- ", "&a ", "*a", "!!int ",
     "\t", "é", "\\", "0x" + "f" * 5000, "9" * 5000]
)  # fmt: skip
soup = st.lists(words | st.text(max_size=6), max_size=30).map("".join)
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
    | st.dates() | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words | st.text(max_size=8), inner,
                                                                 max_size=4),
    max_leaves=12,
)  # fmt: skip
trees = st.dictionaries(
    st.sampled_from(["monitor", "server", "rollup", "plugins", "storage"]) | st.text(max_size=5),
    plain | st.dictionaries(words, plain, max_size=5),
    max_size=5,
)


def judged(path: Path | None, env: Mapping[str, str] | None = None, **more: Any) -> None:
    try:
        load(path, env, **more)
    except ConfigErrors as errors:
        found = errors.mistakes
    else:
        return
    assert found
    assert all(0 < len(m.message) < 500 for m in found)


@given(text=soup, suffix=st.sampled_from([".toml", ".yaml"]))
def test_any_text_is_read_or_told(
    tmp_path_factory: pytest.TempPathFactory, text: str, suffix: str
) -> None:
    path = tmp_path_factory.getbasetemp() / f"fuzz{suffix}"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    judged(path)


@given(tree=trees)
def test_any_tree_of_values_is_read_or_told(
    tmp_path_factory: pytest.TempPathFactory, tree: dict[str, Any]
) -> None:
    path = tmp_path_factory.getbasetemp() / "tree.yaml"
    path.write_text(yaml.safe_dump(tree), "utf-8")
    judged(path)
    judged(None, overrides={f"{k}.x": v for k, v in tree.items()})


@given(
    env=st.dictionaries(
        st.lists(words.map(str.upper) | st.text(max_size=4), max_size=4).map(
            lambda parts: "BAROGRAPH_" + "__".join(parts)
        ),
        soup,
        max_size=4,
    )
)
def test_any_environment_is_read_or_told(env: dict[str, str]) -> None:
    judged(None, env)


# --- units --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("5s", 5), ("1m30s", 90), ("7d", 604800), ("500ms", 0.5), ("1.5h", 5400), ("2w", 1209600),
     (5, 5), (0.25, 0.25), ("3", 3), (" 5s ", 5), ("0s", 0)],
)  # fmt: skip
def test_durations(text: object, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("bad", ["", "s", "5 s", "5x", "-5s", "nan", "inf", "1e3", "5s!", "9" * 30 + "s",
                                 "101000w", True, None, [], -1, float("nan"), float("inf"), 10**400, "٣s"])  # fmt: skip
def test_what_is_no_duration(bad: object) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(bad)


@pytest.mark.parametrize(
    ("text", "size"),
    [("64MiB", 2**26), ("2GB", 2 * 10**9), ("1.5KiB", 1536), (4096, 4096), ("7", 7), ("3 TB", 3 * 10**12)],
)  # fmt: skip
def test_sizes(text: object, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "bad", ["", "MiB", "-1MB", "1XB", "9" * 30, "2000000 TiB", True, 1.5, None, -1, 2**70]
)
def test_what_is_no_size(bad: object) -> None:
    with pytest.raises(ValueError, match="size"):
        parse_size(bad)


@given(
    st.integers(0, 10**12).map(lambda ms: ms / 1000)
    | st.floats(1e-6, 1e9).map(lambda s: round(s, 6))
)
def test_a_duration_written_is_read_again(seconds: float) -> None:
    assert parse_duration(duration_text(seconds)) == pytest.approx(seconds, rel=1e-12, abs=1e-12)


@given(st.integers(0, MAX_BYTES))
def test_a_size_written_is_read_again(size: int) -> None:
    assert parse_size(size_text(size)) == pytest.approx(size, rel=1e-12)


# --- places -------------------------------------------------------------------------------------

keys = st.from_regex(r"[A-Za-z0-9_-]{1,5}", fullmatch=True) | st.text(max_size=5).filter(
    lambda s: not any("\ud800" <= c <= "\udfff" for c in s)
)
values = st.recursive(
    st.booleans() | st.integers(-(2**40), 2**40) | st.text(max_size=8) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=8,
)


@given(tree=st.dictionaries(keys, values | st.dictionaries(keys, values, max_size=3), max_size=4))
def test_every_key_of_a_toml_file_has_its_place(tree: dict[str, Any]) -> None:
    import tomlkit

    text = tomlkit.dumps(tree)
    places = toml_places(text)
    lines = text.split("\n")

    def walk(node: Any, above: tuple[str, ...]) -> None:
        if not isinstance(node, dict):
            return
        for key, value in node.items():
            line, column = places[(*above, key)]
            assert lines[line - 1][column - 1 :].strip() != "" or "\n" in key
            walk(value, (*above, key))

    walk(tomli.loads(text), ())


def test_places_look_through_texts_comments_and_tables_in_lines() -> None:
    text = '''
# [no]
a = """
[no]
b = 1 \\""" """ # c = 2
d = [ # x
  "]", '#', {e = 1, f.g = 'x = 1'},
]
  h.i . "j k" = 1979-05-27 07:32:00
[l.m]
n={o=[1,2],p={}}
[[q]]
r = \'\'\'
s = 1\'\'\'
[[q]]
t=1'''
    places = toml_places(text)
    assert places == {
        ("a",): (3, 1), ("d",): (6, 1), ("d", "[]", "e"): (7, 14), ("d", "[]", "f"): (7, 21),
        ("d", "[]", "f", "g"): (7, 23), ("h",): (9, 3), ("h", "i"): (9, 5),
        ("h", "i", "j k"): (9, 9), ("l",): (10, 1), ("l", "m"): (10, 1), ("l", "m", "n"): (11, 1),
        ("l", "m", "n", "o"): (11, 4), ("l", "m", "n", "p"): (11, 12), ("q",): (12, 1),
        ("q", "r"): (13, 1), ("q", "t"): (16, 1),
    }  # fmt: skip


# --- writing --------------------------------------------------------------------------------------


def test_the_template_is_good_commented_and_uncommented(tmp_path: Path) -> None:
    classes: dict[str, type] = {"weather": Weather, "broken": Unjudged}
    text = template(classes)
    assert load(written(tmp_path, text)).server.port == 10132
    live = "\n".join(
        line.removeprefix("# ") if " = " in line and line.startswith("# ") else line
        for line in text.splitlines()
    )
    config = load(written(tmp_path, live))
    assert config == attrs.evolve(load(), path=config.path)
    for doc in describe(classes):
        assert f"# {doc.key} = " in text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# mine\n[server]\nport = 1 # why\n",
        "[plugins.weather] # here\nenabled = true # on\nevery = '2s' # often\n",
        "[plugins]\nweather = {every = '2s'} # one line\n",
        "plugins.weather.every = '2s' # dotted\n",
        "[plugins.plain]\n\n[server]\nport = 2\n\n[plugins.weather]\ncount = 2 # two\n",
        "[plugins]\n# nothing yet\n[server]\n",
    ],
)
def test_switching_a_plugin_keeps_the_rest_of_the_file(tmp_path: Path, text: str) -> None:
    path = written(tmp_path, text)
    before = load(path)
    for enabled in (False, True, False):
        set_enabled(path, "weather", enabled)
        after = load(path)
        assert after.plugins["weather"].enabled is enabled
        assert after.plugins["weather"].options == before.plugins["weather"].options
        assert after.server == before.server
        for comment in (part.split("\n")[0] for part in text.split("#")[1:]):
            assert f"#{comment}" in path.read_text()


def test_switching_a_plugin_keeps_the_file_s_mode_and_its_link(tmp_path: Path) -> None:
    real = written(tmp_path, "[server]\n", "real.toml")
    real.chmod(0o640)
    link = tmp_path / "link.toml"
    link.symlink_to(real)
    set_enabled(link, "weather", False)
    assert link.is_symlink()
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    set_enabled(tmp_path / "new.toml", "weather", False)
    assert stat.S_IMODE((tmp_path / "new.toml").stat().st_mode) == 0o600
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link.toml", "new.toml", "real.toml"]


@pytest.mark.parametrize(("name", "text"), [("a.yaml", "{}"), ("a.toml", "[broken"), ("b.toml", "plugins = 5"),
                                            ("c.toml", "[plugins]\nweather = 'x'")])  # fmt: skip
def test_a_file_that_cannot_be_edited_is_left_as_it_is(
    tmp_path: Path, name: str, text: str
) -> None:
    path = written(tmp_path, text, name)
    with pytest.raises(ConfigErrors):
        set_enabled(path, "weather", False)
    assert path.read_text() == text
