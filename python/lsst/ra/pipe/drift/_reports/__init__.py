# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Verdicts for readers, and for programs that show them to readers."""

from ._changes import *
from ._table import *
from ._write import *
