"""The process source over a /proc that a test writes, and over the real one."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from barograph import Sample
from barograph.testing import check_metric_source
from barograph_process import Config
from barograph_process.proc import PF_KTHREAD, _look_psutil, look, parse_stat
from barograph_process.source import MAX_WATCHED, SELF, STAY_LOOKS, ProcessSource

HERTZ = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


def stat_line(
    pid: int, name: str | bytes, cpu_s: float, rss: int = 0, *, state: str = "S", flags: int = 0,
    threads: int = 1, started: int = 5,
) -> bytes:  # fmt: skip
    raw = name if isinstance(name, bytes) else name.encode()
    fields = ["0"] * 50
    fields[0], fields[6], fields[11] = state, str(flags), str(round(cpu_s * HERTZ))
    fields[17], fields[19], fields[21] = str(threads), str(started), str(rss // PAGE)
    return b"%d (%s) %s\n" % (pid, raw, " ".join(fields).encode())


class Proc:
    """A /proc tree; time moves by ``step``."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "self").mkdir()
        self.now = 100.0

    def put(
        self, pid: int, name: str, cpu_s: float = 0.0, rss: int = 0, files: int = 3, **more: Any
    ) -> None:  # fmt: skip
        folder = self.root / str(pid)
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "fd").mkdir(parents=True)
        for n in range(files):
            (folder / "fd" / str(n)).touch()
        (folder / "stat").write_bytes(stat_line(pid, name, cpu_s, rss, **more))

    def end(self, pid: int) -> None:
        shutil.rmtree(self.root / str(pid))

    def source(self, **options: Any) -> ProcessSource:
        return ProcessSource(Config(**options), proc=str(self.root), now=lambda: self.now)

    def look(self, source: ProcessSource, step: float = 5.0) -> dict[tuple[str, str, str], float]:
        """(metric, process, pid) -> value."""
        self.now += step
        return keyed(source.collect(0))


def keyed(samples: Any) -> dict[tuple[str, str, str], float]:
    found: list[Sample] = list(samples)
    out = {(s.name, s.labels.get("process", ""), s.labels.get("pid", "")): s.value for s in found}
    assert len(out) == len(found), "a series twice"
    return out


@pytest.fixture
def proc(tmp_path: Path) -> Proc:
    return Proc(tmp_path)


def test_processes_of_one_name_are_summed(proc: Proc) -> None:
    source = proc.source()
    proc.put(10, "web", 1.0, 4 * PAGE)
    proc.put(11, "web", 2.0, 6 * PAGE)
    proc.put(12, "db", 5.0, 100 * PAGE)
    first = proc.look(source)
    assert first[("system_process_count", "", "")] == 3
    assert first[("process_top_memory_bytes", "web", "")] == 10 * PAGE
    assert not [key for key in first if key[0] == "process_top_cpu_ratio"]  # nothing to compare yet
    proc.put(10, "web", 3.0, 4 * PAGE)
    proc.put(11, "web", 2.5, 6 * PAGE)
    second = proc.look(source)
    assert second[("process_top_cpu_ratio", "web", "")] == pytest.approx(0.5)
    assert ("process_top_cpu_ratio", "db", "") not in second


def test_a_process_that_began_since_the_last_look_counts_with_all_its_time(proc: Proc) -> None:
    source = proc.source()
    proc.put(10, "old", 50.0)
    proc.look(source)
    proc.put(11, "new", 2.0)
    proc.put(10, "reused", 1.0, started=77)  # another process with the pid of one that ended
    found = proc.look(source)
    assert found[("process_top_cpu_ratio", "new", "")] == pytest.approx(0.4)
    assert found[("process_top_cpu_ratio", "reused", "")] == pytest.approx(0.2)


def test_zombies_and_kernel_threads_are_left_out(proc: Proc) -> None:
    proc.put(1, "init")
    proc.put(2, "kthreadd", 9.0, flags=PF_KTHREAD | 0x40)
    proc.put(3, "gone", 9.0, state="Z")
    assert proc.look(proc.source())[("system_process_count", "", "")] == 1


@pytest.mark.parametrize("name", ["a b", "a) b (c", "((", "))", "x" * 15, "", "é\udc80"])
def test_names_may_hold_anything(name: str) -> None:
    raw = name.encode("utf-8", "surrogateescape")
    seen = parse_stat(7, stat_line(7, raw, 1.5, 3 * PAGE, threads=4))
    assert seen is not None
    assert seen.name == (raw.decode("utf-8", "replace") or "?")
    assert (seen.cpu_s, seen.rss, seen.threads) == (1.5, 3 * PAGE, 4)
    seen.name.encode()


@given(st.binary(max_size=80))
def test_what_is_no_line_of_stat_is_no_process(line: bytes) -> None:
    assert parse_stat(1, line) is None


def test_a_process_that_ends_while_it_is_read_is_left_out(proc: Proc) -> None:
    proc.put(10, "there")
    proc.put(11, "empty")
    (proc.root / "11" / "stat").write_bytes(b"")
    (proc.root / "12").mkdir()  # its stat is gone
    assert [p.name for p in look(str(proc.root))] == ["there"]


def test_the_top_list_is_bounded_and_names_stay_a_while(proc: Proc) -> None:
    source = proc.source(top=3)
    for pid in range(10, 20):
        proc.put(pid, f"p{pid}", 0.0, (pid - 9) * PAGE)
    names = [k[1] for k in proc.look(source) if k[0] == "process_top_memory_bytes"]
    assert names == ["p19", "p18", "p17"]
    proc.put(19, "p19", 0.0, 0)  # falls out of the top, but stays for some looks
    for n in range(STAY_LOOKS + 2):
        names = [k[1] for k in proc.look(source) if k[0] == "process_top_memory_bytes"]
        assert names[:3] == ["p18", "p17", "p16"]
        assert ("p19" in names) == (n < STAY_LOOKS)
    proc.end(18)
    assert "p18" not in [k[1] for k in proc.look(source)]


def test_thousands_of_short_lived_processes_make_few_series(proc: Proc) -> None:
    source = proc.source(top=5, watch=("job*", "3"))
    series: set[tuple[str, str, str]] = set()
    pid = 1000
    for _ in range(6):
        for entry in list(proc.root.iterdir()):
            if entry.name != "self":
                shutil.rmtree(entry)
        for _ in range(100):
            pid += 1
            proc.put(pid, f"job{pid % 7}", 0.1, PAGE, files=0)
        found = proc.look(source)
        assert len(found) <= 1 + 4 * source._config.top + 5 * 7
        series |= set(found)
    assert len(series) <= 1 + 2 * 7 + 5 * 7


def test_watched_by_a_name_that_matches_all_at_most_so_many_are_followed(proc: Proc) -> None:
    source = proc.source(watch=("*",))
    for pid in range(1000, 1000 + 3 * MAX_WATCHED):
        proc.put(pid, f"n{pid}", files=0)
    first = {k[1] for k in proc.look(source) if k[0] == "process_count"}
    for pid in range(500, 600):
        proc.put(pid, f"a{pid}", files=0)
    again = {k[1] for k in proc.look(source) if k[0] == "process_count"}
    assert len(first) == MAX_WATCHED
    assert again == first  # the same ones go on, though others sort before them


def test_processes_watched_by_name_are_followed_as_one_that_does_not_fall(proc: Proc) -> None:
    source = proc.source(watch=("work*",))
    proc.put(10, "worker", 10.0, PAGE, files=2, threads=3)
    proc.put(11, "worker", 20.0, 2 * PAGE, files=5, threads=1)
    found = proc.look(source)
    assert found[("process_cpu_time_seconds_total", "worker", "")] == 30
    assert found[("process_memory_usage_bytes", "worker", "")] == 3 * PAGE
    assert found[("process_thread_count", "worker", "")] == 4
    assert found[("process_count", "worker", "")] == 2
    assert found[("process_unix_file_descriptor_count", "worker", "")] == 7
    proc.end(11)
    proc.put(10, "worker", 11.0)
    proc.put(12, "worker", 0.5)
    found = proc.look(source)
    assert found[("process_cpu_time_seconds_total", "worker", "")] == pytest.approx(31.5)
    assert found[("process_count", "worker", "")] == 2
    proc.end(10)
    proc.end(12)
    assert not [k for k in proc.look(source) if k[0] == "process_count"]


def test_a_process_watched_by_pid_keeps_its_pid_as_a_label(proc: Proc) -> None:
    proc.put(10, "worker", 1.0)
    found = proc.look(proc.source(watch=("10", "worker")))
    assert [k for k in found if k[0] == "process_count"] == [("process_count", "worker", "10")]


def test_open_files_that_may_not_be_seen_are_left_out(proc: Proc) -> None:
    proc.put(10, "worker")
    shutil.rmtree(proc.root / "10" / "fd")
    found = proc.look(proc.source(watch=("worker",)))
    assert ("process_unix_file_descriptor_count", "worker", "") not in found


# --- the real thing -------------------------------------------------------------------------------


def test_this_process_is_followed_under_a_name_that_stays() -> None:
    source = ProcessSource(Config())
    check_metric_source(source)
    found = keyed(source.collect(0))
    mine = psutil.Process()
    assert found[("process_cpu_time_seconds_total", SELF, "")] == pytest.approx(
        sum(mine.cpu_times()[:2]), abs=0.5
    )
    memory = found[("process_memory_usage_bytes", SELF, "")]
    assert memory == pytest.approx(mine.memory_info().rss, rel=0.2)
    assert found[("process_thread_count", SELF, "")] == mine.num_threads()
    assert found[("process_unix_file_descriptor_count", SELF, "")] > 2
    assert 0 < found[("system_process_count", "", "")] <= len(psutil.pids())


def test_psutil_sees_the_same_processes_where_there_is_no_proc() -> None:
    mine = next(p for p in _look_psutil() if p.pid == os.getpid())
    same = next(p for p in look() if p.pid == os.getpid())
    assert (mine.name, mine.threads) == (same.name, same.threads)
    assert mine.cpu_s == pytest.approx(same.cpu_s, abs=0.5)
    assert mine.rss == pytest.approx(same.rss, rel=0.2)
    assert look("/nonexistent").__name__ == "_look_psutil"  # type: ignore[attr-defined]
