# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""The quicklook tables of ConsDB, the observatory's Consolidated Database.

The tables are those of the observatory's own schema files, which the package
``lsst-sdm-schemas`` has.  See :ref:`lsst.ra.pipe-consdb`.
"""

from ._backfill import *
from ._columns import *
from ._database import *
from ._errors import *
from ._exposure_row import *
from ._observer import *
from ._schema import *
from ._service import *
from ._writer import *
