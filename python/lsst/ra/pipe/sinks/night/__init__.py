# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""The report of an observing night: one HTML page from what is in the Butler."""

from ._read import *
from ._report import *
