# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Arrays in, arrays out: algorithms that know no Butler and no Task."""

from ._mask_schema import MASK_SCHEMA, packed_mask, plane_bits

__all__ = ("MASK_SCHEMA", "packed_mask", "plane_bits")
