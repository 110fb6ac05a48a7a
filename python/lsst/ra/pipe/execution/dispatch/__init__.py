# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Which pipeline an image runs through, decided by rules in a YAML file."""

from ._exposure_catalog import *
from ._exposure_facts import *
from ._gaps import *
from ._identifiers import *
from ._load import *
from ._pipeline_tasks import *
from ._plan import *
from ._problems import *
from ._raws import *
from ._region import *
from ._rule import *
from ._table import *
