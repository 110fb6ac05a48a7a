# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""The queue of the live service, in Redis Streams.

Each change of state is one atomic script, ``queue.lua``.  A job is in a stream
until it is done or among the dead letters, so a crash of any process loses
nothing.
"""

from ._connection import *
from ._job import *
from ._models import *
from ._queue import *
from ._status import *
