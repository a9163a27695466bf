"""Parts of `barograph run`: its signals, and what it tells. The whole is in tests/e2e."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from barograph.cli.signals import Signals
from barograph.cli.telling import MOST_LINES, Problems, problem_line
from barograph.contracts import Problem

NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture
def signals() -> Iterator[Signals]:
    before = {number: signal.getsignal(number) for number in NUMBERS}
    made = Signals()
    yield made
    made.over()
    for number, handler in before.items():
        signal.signal(number, handler)


def send(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


# --- signals --------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_before_it_is_ready_a_signal_interrupts(signals: Signals, number: signal.Signals) -> None:
    with pytest.raises(KeyboardInterrupt):
        send(number)


def test_a_block_that_is_held_is_interrupted_at_its_end(signals: Signals) -> None:
    done = []
    with pytest.raises(KeyboardInterrupt), signals.held():
        send(signal.SIGTERM)
        done.append(1)
    assert done == [1]


def test_a_second_signal_does_not_wait_for_the_end(signals: Signals) -> None:
    done = []
    with pytest.raises(KeyboardInterrupt), signals.held():
        send(signal.SIGINT)
        send(signal.SIGINT)
        done.append(1)
    assert done == []


def test_an_error_in_a_held_block_is_the_one_that_is_seen(signals: Signals) -> None:
    with pytest.raises(ValueError, match="mine"), signals.held():
        send(signal.SIGINT)
        raise ValueError("mine")


def test_waiting_ends_with_a_signal_and_reloads_on_the_way(signals: Signals) -> None:
    assert signals.ready() is False
    reloads: list[int] = []

    def reload() -> None:
        reloads.append(1)
        send(signal.SIGTERM if len(reloads) == 2 else signal.SIGHUP)

    send(signal.SIGHUP)
    signals.wait(reload)
    assert reloads == [1, 1]


def test_a_hang_up_before_it_is_ready_is_not_lost(signals: Signals) -> None:
    send(signal.SIGHUP)
    assert signals.ready() is True


def test_reloads_run_one_at_a_time_and_one_that_fails_is_told(
    signals: Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = threading.Event(), threading.Event()
    order: list[str] = []

    def slow() -> None:
        order.append("slow begins")
        assert first.wait(10)
        order.append("slow ends")
        raise OSError("no luck")

    def quick() -> None:
        order.append("quick")
        second.set()

    signals.in_turn(slow)
    signals.in_turn(quick)
    first.set()
    assert second.wait(10)
    assert order == ["slow begins", "slow ends", "quick"]
    assert capsys.readouterr().out == "reloading failed: OSError: no luck\n"


def test_after_the_end_no_reload_begins(signals: Signals) -> None:
    done: list[int] = []
    signals.over()
    send(signal.SIGHUP)
    signals.in_turn(lambda: done.append(1)).join(10)
    assert done == []


# --- problems -------------------------------------------------------------------------------------


def test_a_problem_is_told_when_it_comes_and_when_it_is_over(
    capsys: pytest.CaptureFixture[str],
) -> None:
    now = [Problem("no space", "store", "free space"), Problem("late", severity="warning")]
    problems = Problems(lambda: now)
    problems.tell()
    assert capsys.readouterr().out == "error: store: no space; free space\nwarning: late\n"
    problems.tell()
    assert capsys.readouterr().out == ""
    del now[0]
    problems.tell()
    assert capsys.readouterr().out == "over: store: no space\n"
    now.append(Problem("no space", "store", "free space"))
    problems.tell()
    assert capsys.readouterr().out == "error: store: no space; free space\n"


def test_a_flood_of_problems_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    problems = Problems(lambda: [Problem(str(i)) for i in range(100)])
    problems.tell()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == MOST_LINES + 1
    assert lines[-1] == f"and {100 - MOST_LINES} more; see `barograph status`"


def test_a_problems_line_has_all_its_parts() -> None:
    assert problem_line(Problem("what", "where", "do", "warning")) == "warning: where: what; do"
    assert problem_line(Problem("what")) == "error: what"
