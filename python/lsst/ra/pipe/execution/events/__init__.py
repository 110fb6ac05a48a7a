# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Events that say an image is there, and the formats they arrive in."""

from ._models import *
from ._parser import *
from ._rejection import *
from ._schemas import *
