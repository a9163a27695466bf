"""A set of ranks as bits: which values of a sorted chunk are in the window.

The rank that a statistic wants is kept as a pointer (rank, how many of the set are below it). A
value that comes or goes flips one bit and moves the pointer by about one place, which is mostly
found in the same 64-bit word.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import extending, types

from barograph.rolling.kernels.compile import piece

intrinsic: Callable[[Callable[..., Any]], Any] = extending.intrinsic


def _bit_operation(instruction: str, arguments: tuple[Any, ...]) -> Any:
    @intrinsic
    def operation(typing: Any, word: Any) -> Any:
        def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return getattr(builder, instruction)(args[0], *arguments)

        return types.int64(types.int64), build

    return operation


_NONE = ir.Constant(ir.IntType(1), 0)
trailing_zeros = _bit_operation("cttz", (_NONE,))
leading_zeros = _bit_operation("ctlz", (_NONE,))
population = _bit_operation("ctpop", ())


@piece
def flip(words: Any, rank: int) -> None:
    """Adds ``rank`` to the set, or takes it out."""
    words[rank >> 6] ^= 1 << (rank & 63)


@piece
def next_member(words: Any, rank: int) -> int:
    """The least member >= ``rank``; one must exist."""
    i = rank >> 6
    word = words[i] & (-1 << (rank & 63))
    while word == 0:
        i += 1
        word = words[i]
    return int((i << 6) + trailing_zeros(word))


@piece
def previous_member(words: Any, rank: int) -> int:
    """The greatest member < ``rank``; one must exist."""
    i = rank >> 6
    word = words[i] & ~(-1 << (rank & 63))
    while word == 0:
        i -= 1
        word = words[i]
    return int((i << 6) + 63 - leading_zeros(word))


@piece
def seek(words: Any, rank: int, below: int, target: int) -> int:
    """The member with ``target`` members below it, from ``rank`` with ``below`` below it."""
    if below > target:
        while below > target:
            rank = previous_member(words, rank)
            below -= 1
        return rank
    rank = next_member(words, rank)
    while below < target:
        rank = next_member(words, rank + 1)
        below += 1
    return rank


@piece
def member_at(words: Any, target: int) -> int:
    """The member with ``target`` members below it, found from the start: one step a word."""
    i = 0
    here = population(words[0])
    while here <= target:
        target -= here
        i += 1
        here = population(words[i])
    word = words[i]
    for _ in range(target):
        word &= word - 1
    return int((i << 6) + trailing_zeros(word))
