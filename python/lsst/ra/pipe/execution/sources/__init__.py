# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Where events come from: Kafka, HTTP, a directory."""

from ._delivery import *
from ._directory import *
from ._http import *
from ._kafka import *
from ._open import *
from ._settings import *
