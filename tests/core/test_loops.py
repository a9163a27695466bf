"""The list of event loops to watch."""

from __future__ import annotations

import asyncio
import gc

from barograph.loops import forget_loop, running_loop, watch_loop, watched_loops


def test_loops_are_named_once_and_leave_when_closed_or_forgotten() -> None:
    loops = [asyncio.new_event_loop() for _ in range(3)]
    try:
        assert [watch_loop(loop, "web") for loop in loops[:2]] == ["web", "web-2"]
        assert watch_loop(loops[0], "other") == "web"
        assert watch_loop(loops[2], "job") == "job"
        assert {
            "web": loops[0],
            "web-2": loops[1],
            "job": loops[2],
        }.items() <= watched_loops().items()
        forget_loop(loops[2])
        loops[1].close()
        assert set(watched_loops()) & {"web", "web-2", "job"} == {"web"}
        assert watch_loop(loops[2], "web") == "web-2"
    finally:
        for loop in loops:
            loop.close()
    assert not set(watched_loops()) & {"web", "web-2", "job"}


def test_a_watched_loop_is_not_kept_alive() -> None:
    loop = asyncio.new_event_loop()
    watch_loop(loop, "short")
    loop.close()
    del loop
    gc.collect()
    assert "short" not in watched_loops()


async def test_the_running_loop_is_found() -> None:
    assert running_loop() is asyncio.get_running_loop()
    assert await asyncio.to_thread(running_loop) is None
