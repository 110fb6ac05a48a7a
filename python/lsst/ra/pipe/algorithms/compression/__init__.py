# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Pixels in the forms that FITS files have them: compressed, and big-endian."""

from ._big_endian import *
from ._planes import *
from ._rice import *
