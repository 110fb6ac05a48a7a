# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Drift of algorithms: two tasks on the same raw image, pixel by pixel."""

from ._compare import *
from ._pixels import *
from ._report import *
from ._settings import *
from ._side import *
from ._steps import *
from ._table import *
from ._verify import *
