# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Drift between pipelines: what they are, how they differ, and whether that
was meant.
"""

from ._compare import *
from ._difference import *
from ._errors import *
from ._load import *
from ._overrides import *
from ._policy import *
from ._propose import *
from ._reports import *
from ._since import *
from ._snapshot import *
from ._values import *
