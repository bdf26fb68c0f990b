"""Bit-plane arithmetic for numba, generated as LLVM code because numba has no vector types.

A row of `WORDS` words holds one bit of `BLOCK` codes. Distances are counted by carry-save adders (Harley and Seal;
Warren, *Hacker's Delight*, 5-1) in counters that are rows too. LLVM maps the rows to the vector registers of the
machine, from SSE2 to AVX-512 and NEON.

After a change here, change `gannet.index._kernel` too: numba's cache of compiled kernels depends on that file only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

WORDS = 8
BLOCK = 64 * WORDS

ONES, TWOS, FOURS, OVER, EIGHTS = range(5)
"""Rows of the counter state; the rows from EIGHTS on count 8, 16, 32 and so on."""
STATE_ROWS = EIGHTS + 32

STEP = 4
"""Number of triples of planes that are added from tables in one step."""
TRIPLE_ROWS = 10
"""Rows of the table of a triple: the ones for values of even and of odd parity, then the twos for all eight values."""

_INT = ir.IntType(64)
_ROW = ir.VectorType(_INT, WORDS)


class _Emitter:
    """Writes LLVM code that processes rows of WORDS words."""

    def __init__(self, builder: Any) -> None:
        self.builder = builder

    def word(self, start: Any, index: Any) -> Any:
        return self.builder.load(self.builder.gep(start, [index]))

    def pointer(self, start: Any, row: Any) -> Any:
        words = self.builder.mul(row, _INT(WORDS))
        return self.builder.bitcast(self.builder.gep(start, [words]), _ROW.as_pointer())

    def load(self, start: Any, row: Any) -> Any:
        return self.builder.load(self.pointer(start, row), align=8)

    def store(self, row_value: Any, start: Any, row: Any) -> None:
        self.builder.store(row_value, self.pointer(start, row), align=8)

    def spread(self, word: Any) -> Any:
        """Return a row of copies of ``word``."""
        undefined = ir.Constant(_ROW, ir.Undefined)
        first = self.builder.insert_element(undefined, word, ir.IntType(32)(0))
        places = ir.Constant(ir.VectorType(ir.IntType(32), WORDS), [0] * WORDS)
        return self.builder.shuffle_vector(first, undefined, places)

    def full_adder(self, total: Any, left: Any, right: Any) -> tuple[Any, Any]:
        """Return the sum and the carry of three rows of bits."""
        b = self.builder
        either = b.xor(left, right)
        return b.xor(total, either), b.or_(b.and_(left, right), b.and_(total, either))

    def add(self, numbers: list[list[Any]], counters: list[Any]) -> tuple[list[Any], list[Any]]:
        """Add numbers, lists of rows from ones on, to counters; return the counters and the carries out of them."""
        totals: list[Any] = []
        carries: list[Any] = []
        for place, total in enumerate(counters):
            bits = carries + [number[place] for number in numbers if place < len(number)]
            carries = []
            while len(bits) > 1:
                total, carry = self.full_adder(total, bits.pop(0), bits.pop(0))
                carries.append(carry)
            if bits:
                carries.append(self.builder.and_(total, bits[0]))
                total = self.builder.xor(total, bits[0])
            totals.append(total)
        return totals, carries

    def prefetch(self, start: Any, row: Any) -> None:
        b, byte, flag = self.builder, ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, flag, flag, flag])
        function = b.module.declare_intrinsic("llvm.prefetch", [byte], kind)
        b.call(function, [b.bitcast(self.pointer(start, row), byte), flag(0), flag(3), flag(1)])

    def all_set(self, row_value: Any) -> Any:
        kind = ir.FunctionType(_INT, [_ROW])
        name = f"llvm.vector.reduce.and.v{WORDS}i64"
        joined = self.builder.call(self.builder.module.declare_intrinsic(name, (), kind), [row_value])
        return self.builder.icmp_unsigned("==", joined, _INT(-1))


def _emit_scan(context: Any, b: Any, signature: Any, args: Any, read: Callable[..., list[list[Any]]]) -> Any:
    """Write the loop over groups of eight planes; ``read`` returns the numbers to add for a group.

    ``args`` are source, first_row, group_rows, n_groups, query, first_key, levels, ahead and state.
    """

    def data(i: int) -> Any:
        return context.make_array(signature.args[i])(context, b, args[i]).data

    source, query, state = data(0), data(4), data(8)
    first_row, group_rows, n_groups, first_key, levels, ahead = (args[i] for i in (1, 2, 3, 5, 6, 7))
    emit = _Emitter(b)
    entry = b.block
    names = ("loop", "fetch", "add", "ripple", "check", "more", "done", "end")
    loop, fetch, add, ripple, check, more, done, end = (b.append_basic_block(name) for name in names)
    start = [emit.load(state, _INT(row)) for row in (ONES, TWOS, FOURS, EIGHTS)]
    b.branch(loop)

    b.position_at_end(loop)
    group, over = b.phi(_INT), b.phi(_ROW)
    counters = [b.phi(_ROW) for _ in start]
    group.add_incoming(_INT(0), entry)
    over.add_incoming(ir.Constant(_ROW, [0] * WORDS), entry)
    for counter, value in zip(counters, start, strict=True):
        counter.add_incoming(value, entry)
    row = b.add(first_row, b.mul(group, group_rows))
    b.cbranch(b.icmp_signed("!=", ahead, _INT(0)), fetch, add)

    b.position_at_end(fetch)
    for plane in range(8):
        emit.prefetch(source, b.add(row, b.add(ahead, _INT(plane))))
    b.branch(add)

    b.position_at_end(add)
    totals, (sixteens,) = emit.add(read(emit, source, row, query, first_key, group), counters)
    b.cbranch(b.icmp_signed(">", levels, _INT(1)), ripple, check)

    b.position_at_end(ripple)
    level, carry = b.phi(_INT), b.phi(_ROW)
    place = b.add(level, _INT(EIGHTS))
    old = emit.load(state, place)
    emit.store(b.xor(old, carry), state, place)
    carried = b.and_(old, carry)
    following = b.add(level, _INT(1))
    level.add_incoming(_INT(1), add)
    level.add_incoming(following, ripple)
    carry.add_incoming(sixteens, add)
    carry.add_incoming(carried, ripple)
    b.cbranch(b.icmp_signed("<", following, levels), ripple, check)

    b.position_at_end(check)
    overflow = b.phi(_ROW)
    overflow.add_incoming(sixteens, add)
    overflow.add_incoming(carried, ripple)
    now_over = b.or_(over, overflow)
    b.cbranch(emit.all_set(now_over), end, more)

    b.position_at_end(more)
    next_group = b.add(group, _INT(1))
    group.add_incoming(next_group, more)
    over.add_incoming(now_over, more)
    for counter, value in zip(counters, totals, strict=True):
        counter.add_incoming(value, more)
    b.cbranch(b.icmp_signed("<", next_group, n_groups), loop, done)

    b.position_at_end(done)
    for value, place in zip([*totals, now_over], (ONES, TWOS, FOURS, EIGHTS, OVER), strict=True):
        emit.store(value, state, _INT(place))
    b.branch(end)

    b.position_at_end(end)
    found = b.phi(ir.IntType(1))
    found.add_incoming(ir.IntType(1)(0), check)
    found.add_incoming(ir.IntType(1)(1), done)
    return found


@intrinsic
def scan_planes(
    context: Any,
    planes: Any,
    first_row: Any,
    group_rows: Any,
    n_groups: Any,
    masks: Any,
    first_mask: Any,
    levels: Any,
    ahead: Any,
    state: Any,
) -> tuple[Any, Any]:
    """Count the bits in which the codes of a block differ from a query; return whether any code is within its budget.

    The planes are read from rows ``first_row + group * group_rows``, with eight masks per group. The counters of
    ``state``, of which ``levels`` are from EIGHTS on, hold the start values and, if the result is true, the counts.
    Planes that are ``ahead`` rows further are prefetched.
    """

    def read(emit: _Emitter, planes: Any, row: Any, masks: Any, first_mask: Any, group: Any) -> list[list[Any]]:
        b = emit.builder
        mask = b.add(first_mask, b.mul(group, _INT(8)))
        return [
            [
                b.xor(
                    emit.load(planes, b.add(row, _INT(plane))),
                    emit.spread(emit.word(masks, b.add(mask, _INT(plane)))),
                )
            ]
            for plane in range(8)
        ]

    def generate(context: Any, b: Any, signature: Any, args: Any) -> Any:
        return _emit_scan(context, b, signature, args, read)

    size = types.intp
    return types.boolean(planes, size, size, size, masks, size, size, size, state), generate


@intrinsic
def scan_tables(
    context: Any, tables: Any, n_steps: Any, keys: Any, first_key: Any, levels: Any, state: Any
) -> tuple[Any, Any]:
    """Do what `scan_planes` does, but from the tables of a block.

    For each triple of planes a query has two keys: the first words of the rows of ones and twos for its three bits.
    """

    def read(emit: _Emitter, tables: Any, row: Any, keys: Any, first_key: Any, step: Any) -> list[list[Any]]:
        b = emit.builder
        first = b.add(first_key, b.mul(step, _INT(2 * STEP)))
        words = [b.zext(emit.word(keys, b.add(first, _INT(i))), _INT) for i in range(2 * STEP)]
        rows = [b.load(b.bitcast(b.gep(tables, [word]), _ROW.as_pointer()), align=8) for word in words]
        return [list(pair) for pair in zip(rows[::2], rows[1::2], strict=True)]

    def generate(context: Any, b: Any, signature: Any, args: Any) -> Any:
        size = types.intp
        tables, n_steps, keys, first_key, levels, state = args
        kinds = signature.args
        whole = types.boolean(kinds[0], size, size, size, kinds[2], size, size, size, kinds[5])
        values = (tables, _INT(0), _INT(0), n_steps, keys, first_key, levels, _INT(0), state)
        return _emit_scan(context, b, whole, values, read)

    return types.boolean(tables, types.intp, keys, types.intp, types.intp, state), generate


@intrinsic
def tabulate(context: Any, planes: Any, first_row: Any, tables: Any, row: Any) -> tuple[Any, Any]:
    """Write the table of three planes: for each value of three bits, the number of bits in which the codes differ."""

    def generate(context: Any, b: Any, signature: Any, args: Any) -> Any:
        emit = _Emitter(b)
        planes, tables = (context.make_array(signature.args[i])(context, b, args[i]).data for i in (0, 2))
        bits = [emit.load(planes, b.add(args[1], _INT(i))) for i in range(3)]
        ones = b.xor(b.xor(bits[0], bits[1]), bits[2])
        rows = [ones, b.not_(ones)]
        for value in range(8):
            differ = [b.not_(bit) if value >> i & 1 else bit for i, bit in enumerate(bits)]
            rows.append(emit.full_adder(*differ)[1])
        for i, value in enumerate(rows):
            emit.store(value, tables, b.add(args[3], _INT(i)))
        return context.get_dummy_value()

    return types.void(planes, types.intp, tables, types.intp), generate


@intrinsic
def fill(context: Any, state: Any, row: Any, bit: Any) -> tuple[Any, Any]:
    """Set a counter row to the same bit for all codes."""

    def generate(context: Any, b: Any, signature: Any, args: Any) -> Any:
        start = context.make_array(signature.args[0])(context, b, args[0]).data
        emit = _Emitter(b)
        emit.store(emit.spread(b.neg(args[2])), start, args[1])
        return context.get_dummy_value()

    return types.void(state, types.intp, types.intp), generate
