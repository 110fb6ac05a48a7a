# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Butler repositories: creation, calibrations, reference catalogues, raws."""

from ._calibrations import *
from ._create import *
from ._dimension_records import *
from ._image_formatter import *
from ._ingest import *
from ._reference_catalog import *
from ._visits import *
