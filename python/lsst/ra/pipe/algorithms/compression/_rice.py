# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Rice compression of integers, as the FITS standard 4.0 (section 10.4.1) has
it: each row of an image on its own, in blocks of 32 pixels.
"""

from __future__ import annotations

__all__ = ("SPARE_BYTES", "compress_rice", "decompress_rice")

from typing import Any

import numba
import numpy as np
import numpy.typing as npt
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic

_BLOCK = 32
_BITS_OF_SPLIT = np.uint64(5)
_MAX_SPLIT = 25
"""A block whose numbers have more random bits than this is not coded."""

SPARE_BYTES = 512
"""Bytes that `decompress_rice` wants beyond the last compressed one: more than
a block takes."""


def compress_rice(image: npt.NDArray[np.int32]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Compress each row of an image.

    Parameters
    ----------
    image
        Image of shape ``(ny, nx)``.

    Returns
    -------
    compressed
        Bytes of all rows, one row after the other.
    lengths
        ``(ny,)`` number of bytes of each row.
    """
    ny, nx = image.shape
    n_blocks = -(-nx // _BLOCK)
    # No block takes more than its bits, its split and what split numbers may
    # need beyond: at most four bits for each pixel.
    row = 8 + 4 * nx + n_blocks * (1 + _BLOCK // 2)
    compressed = np.empty(ny * row, np.uint8)
    lengths = np.empty(ny, np.int64)
    size = _compress(np.ascontiguousarray(image), compressed, lengths)
    return compressed[:size], lengths


@numba.njit(cache=True)
def _compress(image, out, lengths):  # type: ignore[no-untyped-def]
    """Compress rows; return the number of bytes."""
    ny, nx = image.shape
    coded = np.empty(_BLOCK, np.uint32)
    end = 0
    for y in range(ny):
        start = end
        row = image[y]
        last = row[0]
        bits = np.uint64(np.uint32(last))
        n_bits = 32
        for x in range(0, nx, _BLOCK):
            n = min(_BLOCK, nx - x)
            if _is_flat(row, x, n, last):
                bits <<= _BITS_OF_SPLIT
                n_bits += 5
            else:
                total = _difference(row, x, n, last, coded)
                end, bits, n_bits = _code(coded, n, total, out, end, bits, n_bits)
                last = row[x + n - 1]
            end, n_bits = _flush(out, end, bits, n_bits)
        while n_bits > 0:
            rest = n_bits - 8
            out[end] = bits >> np.uint64(rest) if rest >= 0 else bits << np.uint64(-rest)
            end += 1
            n_bits = rest
        lengths[y] = end - start
    return end


@numba.njit(cache=True)
def _is_flat(row, start, n, value):  # type: ignore[no-untyped-def]
    """Return whether all pixels of a block have the value."""
    differ = np.int32(0)
    if n == _BLOCK:
        # A number of turns that the compiler knows.
        for j in range(_BLOCK):
            differ |= row[start + j] ^ value
    else:
        for j in range(n):
            differ |= row[start + j] ^ value
    return differ == 0


@numba.njit(cache=True)
def _difference(row, start, n, last, coded):  # type: ignore[no-untyped-def]
    """Take differences of neighbours, small ones of either sign first; return
    their sum.
    """
    total = np.uint64(0)
    for j in range(n):
        pixel = row[start + j]
        step = np.int32(np.uint32(pixel) - np.uint32(last))
        number = np.uint32((step << np.int32(1)) ^ (step >> np.int32(31)))
        coded[j] = number
        total += np.uint64(number)
        last = pixel
    return total


@numba.njit(cache=True)
def _flush(out, end, bits, n_bits):  # type: ignore[no-untyped-def]
    """Write the bits beyond the last 31."""
    if n_bits >= 32:
        n_bits -= 32
        word = np.uint32(bits >> np.uint64(n_bits))
        out[end] = word >> np.uint32(24)
        out[end + 1] = word >> np.uint32(16)
        out[end + 2] = word >> np.uint32(8)
        out[end + 3] = word
        end += 4
    return end, n_bits


@numba.njit(cache=True)
def _code(coded, n, total, out, end, bits, n_bits):  # type: ignore[no-untyped-def]
    """Code one block: the low bits of each number as they are, and how many
    zeros stand for the rest.
    """
    mean = (np.float64(total) - n // 2 - 1) / n
    level = np.uint32(max(mean, 0.0)) >> np.uint32(1)
    split = 0
    while level > 0:
        level >>= np.uint32(1)
        split += 1
    end, n_bits = _flush(out, end, bits, n_bits)
    if split >= _MAX_SPLIT:
        bits = (bits << _BITS_OF_SPLIT) | np.uint64(_MAX_SPLIT + 1)
        n_bits += 5
        for j in range(n):
            end, n_bits = _flush(out, end, bits, n_bits)
            bits = (bits << np.uint64(32)) | np.uint64(coded[j])
            n_bits += 32
        return end, bits, n_bits
    bits = (bits << _BITS_OF_SPLIT) | np.uint64(split + 1)
    n_bits += 5
    low = (np.uint64(1) << np.uint64(split)) - np.uint64(1)
    for j in range(n):
        number = np.uint64(coded[j])
        zeros = np.int64(number >> np.uint64(split))
        end, n_bits = _flush(out, end, bits, n_bits)
        while zeros > 30:
            bits <<= np.uint64(31)
            n_bits += 31
            zeros -= 31
            end, n_bits = _flush(out, end, bits, n_bits)
        bits = (bits << np.uint64(zeros + 1)) | np.uint64(1)
        n_bits += zeros + 1
        end, n_bits = _flush(out, end, bits, n_bits)
        bits = (bits << np.uint64(split)) | (number & low)
        n_bits += split
    return end, bits, n_bits


def decompress_rice(
    data: npt.NDArray[np.uint8],
    *,
    offsets: npt.NDArray[np.int64],
    lengths: npt.NDArray[np.int64],
    out: npt.NDArray[np.int32],
) -> None:
    """Decompress the rows of an image.

    Parameters
    ----------
    data
        Compressed bytes, and `SPARE_BYTES` more of any value, which are
        looked at but not used.
    offsets, lengths
        ``(ny,)`` where in ``data`` each row begins, and its number of bytes.
    out
        Contiguous image of shape ``(ny, nx)`` to fill.

    Raises
    ------
    ValueError
        Raised if the bytes cannot be what compression made of such an image,
        among others because a row takes more or fewer than it has.
    """
    if lengths.shape != out.shape[:1] or offsets.shape != lengths.shape:
        raise ValueError(f"{len(lengths)} compressed rows are not an image of shape {out.shape}.")
    if (offsets < 0).any() or (lengths < 4).any() or (offsets + lengths > data.size - SPARE_BYTES).any():
        raise ValueError(
            f"Compressed rows lie outside of the {data.size - SPARE_BYTES} bytes that there are."
        )
    row = _decompress(data, offsets, lengths, out)
    if row >= 0:
        raise ValueError(f"Row {row} cannot be decompressed from its {lengths[row]} bytes.")


def _type_leading_zeros(typing_context: Any, value: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctlz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.uint64(types.uint64), generate


def _type_load(typing_context: Any, data: Any, position: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        pointer = builder.gep(array.data, [arguments[1]])
        word = builder.load(builder.bitcast(pointer, ir.IntType(64).as_pointer()), align=1)
        return builder.bswap(word)

    return types.uint64(data, types.uint64), generate


_leading_zeros: Any = intrinsic(_type_leading_zeros)
"""Count the zeros before the first set bit: one instruction, which numba does
not offer."""

_load: Any = intrinsic(_type_load)
"""Load eight bytes, the most significant first."""


@numba.njit(cache=True)
def _refill(data, position, bits, n_bits):  # type: ignore[no-untyped-def]
    """Have at least 57 bits."""
    bits |= _load(data, position) >> n_bits
    taken = (np.uint64(63) - n_bits) >> np.uint64(3)
    return position + taken, bits, n_bits + (taken << np.uint64(3))


@numba.njit(cache=True)
def _decompress(data, offsets, lengths, out):  # type: ignore[no-untyped-def]
    """Decompress rows; return the first bad one, or -1."""
    ny, nx = out.shape
    for y in range(ny):
        position = np.uint64(offsets[y])
        end = position + np.uint64(lengths[y])
        position, bits, n_bits = _refill(data, position, np.uint64(0), np.uint64(0))
        last = np.uint32(bits >> np.uint64(32))
        bits <<= np.uint64(32)
        n_bits -= np.uint64(32)
        row = out[y]
        for x in range(0, nx, _BLOCK):
            n = min(_BLOCK, nx - x)
            position, bits, n_bits = _refill(data, position, bits, n_bits)
            split = np.int64(bits >> np.uint64(59)) - 1
            bits <<= _BITS_OF_SPLIT
            n_bits -= _BITS_OF_SPLIT
            if split < 0:
                for j in range(n):
                    row[x + j] = np.int32(last)
            elif split < _MAX_SPLIT:
                position, bits, n_bits, last = _decode(
                    data, position, bits, n_bits, row, x, n, last, np.uint64(split), end
                )
            else:
                position, bits, n_bits, last = _copy(data, position, bits, n_bits, row, x, n, last)
            if position - (n_bits >> np.uint64(3)) > end:
                return y
        if position - (n_bits >> np.uint64(3)) != end:
            return y
    return -1


@numba.njit(cache=True)
def _copy(data, position, bits, n_bits, row, x, n, last):  # type: ignore[no-untyped-def]
    """Take the numbers of a block that was not coded."""
    for j in range(n):
        position, bits, n_bits = _refill(data, position, bits, n_bits)
        last = _add(last, np.uint32(bits >> np.uint64(32)))
        bits <<= np.uint64(32)
        n_bits -= np.uint64(32)
        row[x + j] = np.int32(last)
    return position, bits, n_bits, last


@numba.njit(cache=True)
def _decode(data, position, bits, n_bits, row, x, n, last, split, end):  # type: ignore[no-untyped-def]
    """Decode the numbers of one block."""
    shift = np.uint64(63) - split
    for j in range(n):
        position, bits, n_bits = _refill(data, position, bits, n_bits)
        zeros = _leading_zeros(bits | np.uint64(1))
        top = zeros
        if zeros >= np.uint64(32):
            # So large a number may go beyond the bits at hand.
            top = np.uint64(0)
            while bits >> np.uint64(32) == 0 and position <= end:
                top += np.uint64(32)
                bits <<= np.uint64(32)
                n_bits -= np.uint64(32)
                position, bits, n_bits = _refill(data, position, bits, n_bits)
            zeros = _leading_zeros(bits | np.uint64(1 << 32))
            top += zeros
        bits <<= zeros
        bits <<= np.uint64(1)
        number = np.uint32((top << split) | ((bits >> np.uint64(1)) >> shift))
        bits <<= split
        n_bits -= zeros + np.uint64(1) + split
        last = _add(last, number)
        row[x + j] = np.int32(last)
    return position, bits, n_bits, last


@numba.njit(cache=True)
def _add(last, number):  # type: ignore[no-untyped-def]
    """Add the difference that a number stands for."""
    return last + ((number >> np.uint32(1)) ^ (np.uint32(0) - (number & np.uint32(1))))
