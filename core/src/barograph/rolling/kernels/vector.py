"""Vectors of eight float64 inside kernels.

numba does not vectorise a running sum: each step needs the one before. These few operations let a
kernel be written over ``Vector`` values (eight lanes in a register; two or four registers on
machines with narrow ones), so that a scan of eight values is three shifts and three additions.
The vector that a shift fills from should not be a constant that the compiler sees: LLVM turns a
shift of known zeros into an expansion that is three times slower; see ``hidden_zero``.
``load`` and ``store`` do not check bounds: the caller keeps eight elements inside the array. Arrays
are float64 or float32; lanes are float64 in either case.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, TypeVar

from llvmlite import ir
from numba import extending, njit, types
from numba.core import cgutils

F = TypeVar("F", bound=Callable[..., Any])

# numba's own annotations of these say less than they do.
intrinsic: Callable[[Callable[..., Any]], Any] = extending.intrinsic
overload: Callable[..., Callable[[F], F]] = extending.overload
_njit: Any = njit
models: Any = extending.models
register_model: Any = extending.register_model

LANES = 8

_DOUBLES = ir.VectorType(ir.DoubleType(), LANES)
_BYTES = ir.VectorType(ir.IntType(8), LANES)
_BITS = ir.VectorType(ir.IntType(1), LANES)


class _Vector(types.Type):
    def __init__(self) -> None:
        super().__init__(name="BarographVector8")


class _Mask(types.Type):
    def __init__(self) -> None:
        super().__init__(name="BarographMask8")


@register_model(_Vector)
class _VectorModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, dmm: Any, fe_type: Any) -> None:
        super().__init__(dmm, fe_type, _DOUBLES)


@register_model(_Mask)
class _MaskModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, dmm: Any, fe_type: Any) -> None:
        super().__init__(dmm, fe_type, _BITS)


vector = _Vector()
mask = _Mask()


_SINGLES = ir.VectorType(ir.FloatType(), LANES)


def _address(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    array = context.make_array(signature.args[0])(context, builder, args[0])
    lanes = _SINGLES if signature.args[0].dtype == types.float32 else _DOUBLES
    return builder.bitcast(builder.gep(array.data, [args[1]]), lanes.as_pointer())


@intrinsic
def load(typing: Any, array: Any, at: Any) -> Any:
    """Eight values of a contiguous array from index ``at``."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        address = _address(context, builder, signature, args)
        if signature.args[0].dtype == types.float32:
            return builder.fpext(builder.load(address, align=4), _DOUBLES)
        return builder.load(address, align=8)

    return vector(array, types.intp), build


@intrinsic
def store(typing: Any, array: Any, at: Any, value: Any) -> Any:
    """Writes eight values to a contiguous array from index ``at``."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        address = _address(context, builder, signature, args)
        if signature.args[0].dtype == types.float32:
            builder.store(builder.fptrunc(args[2], _SINGLES), address, align=4)
        else:
            builder.store(args[2], address, align=8)
        return context.get_dummy_value()

    return types.void(array, types.intp, vector), build


@intrinsic
def line_start(typing: Any, array: Any) -> Any:
    """Index of the first element at the start of a line of memory (64 bytes)."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        word = ir.IntType(64)
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        address = builder.ptrtoint(data, word)
        size = 4 if signature.args[0].dtype == types.float32 else 8
        rest = builder.and_(builder.neg(address), ir.Constant(word, 63))
        return builder.udiv(rest, ir.Constant(word, size))

    return types.intp(array), build


@intrinsic
def splat(typing: Any, value: Any) -> Any:
    """One number in all lanes."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        one = builder.insert_element(
            ir.Constant(_DOUBLES, ir.Undefined), args[0], ir.Constant(ir.IntType(32), 0)
        )
        return _shuffle(builder, one, one, [0] * LANES)

    return vector(types.float64), build


def _hidden_zero(number: int) -> float:
    """0.0, in a way that the compiler does not see through (``number`` could be negative)."""
    return number * 0.0


hidden_zero: Callable[[int], float] = _njit(_hidden_zero)


@intrinsic
def ramp(typing: Any) -> Any:
    """0, 1, ..., 7."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return ir.Constant(_DOUBLES, [float(i) for i in range(LANES)])

    return vector(), build


def _shuffle(builder: Any, a: Any, b: Any, order: list[int]) -> Any:
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(ir.IntType(32), LANES), order))


def _shuffler(order: list[int]) -> Any:
    @intrinsic
    def shuffle(typing: Any, a: Any, fill: Any) -> Any:
        def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return _shuffle(builder, args[0], args[1], order)

        return vector(vector, vector), build

    return shuffle


up1 = _shuffler([8, 0, 1, 2, 3, 4, 5, 6])
"""Lane i gets lane i - 1; what comes in is taken from the second vector."""
up2 = _shuffler([8, 9, 0, 1, 2, 3, 4, 5])
up4 = _shuffler([8, 9, 10, 11, 0, 1, 2, 3])
down1 = _shuffler([1, 2, 3, 4, 5, 6, 7, 8])
"""Lane i gets lane i + 1."""
down2 = _shuffler([2, 3, 4, 5, 6, 7, 8, 9])
down4 = _shuffler([4, 5, 6, 7, 8, 9, 10, 11])
last = _shuffler([7] * LANES)
"""Lane 7 in all lanes."""
first = _shuffler([0] * LANES)
"""Lane 0 in all lanes."""
_turn4 = _shuffler([4, 5, 6, 7, 0, 1, 2, 3])
_turn2 = _shuffler([2, 3, 4, 5, 6, 7, 0, 1])
_turn1 = _shuffler([1, 2, 3, 4, 5, 6, 7, 0])


def _operation(symbol: Any, instruction: str) -> None:
    @intrinsic
    def apply(typing: Any, a: Any, b: Any) -> Any:
        def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return getattr(builder, instruction)(args[0], args[1])

        return vector(vector, vector), build

    @overload(symbol, strict=False)
    def operation(a: Any, b: Any) -> Any:
        if isinstance(a, _Vector) and isinstance(b, _Vector):
            return lambda a, b: apply(a, b)
        return None


_operation(operator.add, "fadd")
_operation(operator.sub, "fsub")
_operation(operator.mul, "fmul")
_operation(operator.truediv, "fdiv")


def _comparison(symbol: Any, how: str) -> None:
    @intrinsic
    def compare(typing: Any, a: Any, b: Any) -> Any:
        def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return builder.fcmp_ordered(how, args[0], args[1])

        return mask(vector, vector), build

    @overload(symbol, strict=False)
    def operation(a: Any, b: Any) -> Any:
        if isinstance(a, _Vector) and isinstance(b, _Vector):
            return lambda a, b: compare(a, b)
        return None


_comparison(operator.lt, "<")
_comparison(operator.le, "<=")
_comparison(operator.ge, ">=")


@intrinsic
def ordered(typing: Any, a: Any, b: Any) -> Any:
    """Where neither ``a`` nor ``b`` is NaN."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fcmp_ordered("ord", args[0], args[1])

    return mask(vector, vector), build


@intrinsic
def select(typing: Any, where: Any, a: Any, b: Any) -> Any:
    """``a`` where the mask holds, else ``b``."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.select(args[0], args[1], args[2])

    return vector(mask, vector, vector), build


@intrinsic
def both(typing: Any, a: Any, b: Any) -> Any:
    """Where two masks hold."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.and_(args[0], args[1])

    return mask(mask, mask), build


@intrinsic
def bits(typing: Any, where: Any) -> Any:
    """The mask as a number: bit i is lane i."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.zext(builder.bitcast(args[0], ir.IntType(LANES)), ir.IntType(64))

    return types.int64(mask), build


def _counter(downwards: bool) -> Any:
    @intrinsic
    def count(typing: Any, where: Any) -> Any:
        def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            word = ir.IntType(64)
            ones = ir.Constant(word, 0x0101010101010101)
            flags = builder.zext(args[0], _BYTES)
            flags = builder.bitcast(flags, word)
            # Byte k of the product is the sum of bytes 0..k.
            sums = builder.mul(flags, ones)
            if downwards:
                total = builder.mul(builder.lshr(sums, ir.Constant(word, 56)), ones)
                sums = builder.add(builder.sub(total, sums), flags)
            return builder.uitofp(builder.bitcast(sums, _BYTES), _DOUBLES)

        return vector(mask), build

    return count


count_up = _counter(downwards=False)
"""Lane i gets how many of lanes 0..i hold."""
count_down = _counter(downwards=True)
"""Lane i gets how many of lanes i..7 hold."""


def _function(name: str, arguments: int) -> Any:
    """LLVM's function of vectors of this name."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        insert: Any = cgutils.get_or_insert_function
        kind = ir.FunctionType(_DOUBLES, [_DOUBLES] * arguments)
        return builder.call(insert(builder.module, kind, f"llvm.{name}.v{LANES}f64"), list(args))

    return build


@intrinsic
def root(typing: Any, value: Any) -> Any:
    """Square roots."""
    return vector(vector), _function("sqrt", 1)


@intrinsic
def magnitude(typing: Any, value: Any) -> Any:
    """Absolute values."""
    return vector(vector), _function("fabs", 1)


@intrinsic
def multiply_add(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """a b + c; in one step, and rounded once, on machines that can (all that have AVX2)."""
    return vector(vector, vector, vector), _function("fmuladd", 3)


@intrinsic
def prefetch(typing: Any, array: Any, at: Any) -> Any:
    """Asks for the cache line of ``array[at]`` ahead of its use; any index is allowed."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        number = ir.IntType(32)
        byte = ir.IntType(8).as_pointer()
        insert: Any = cgutils.get_or_insert_function
        function = insert(
            builder.module,
            ir.FunctionType(ir.VoidType(), [byte, number, number, number]),
            "llvm.prefetch.p0",
        )
        address = builder.bitcast(_address(context, builder, signature, args), byte)
        to_read, keep, data = (ir.Constant(number, value) for value in (0, 3, 1))
        builder.call(function, [address, to_read, keep, data])
        return context.get_dummy_value()

    return types.void(array, types.intp), build


def _across(v: Any) -> Any:
    """The sum of the lanes, in all lanes."""
    v = v + _turn4(v, v)
    v = v + _turn2(v, v)
    return v + _turn1(v, v)


across: Callable[[Any], Any] = _njit(_across)


def _lowest(v: Any) -> Any:
    """The least lane, in all lanes. No NaN."""
    w = _turn4(v, v)
    v = select(w < v, w, v)
    w = _turn2(v, v)
    v = select(w < v, w, v)
    w = _turn1(v, v)
    return select(w < v, w, v)


lowest: Callable[[Any], Any] = _njit(_lowest)
