# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""The live service: events in, results in the Butler, nothing lost.

A distributor turns events into jobs of the queue, and workers, each a small
supervisor with one warm child process, take them.
"""

from ._distributor import *
from ._embedded_server import *
from ._messages import *
from ._planner import *
from ._process_group import *
from ._settings import *
from ._worker import *
