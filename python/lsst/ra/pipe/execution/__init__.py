# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Execution of a pipeline's quanta, one image at a time, in warm processes."""

from ._dataset_cache import *
from ._outcome import *
from ._output_run import *
from ._pool import *
from ._runner import *
