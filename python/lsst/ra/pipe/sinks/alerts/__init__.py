# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Alerts of observers: rules on the metrics of an exposure.

Rules are YAML.  Judging an exposure by them is a plain function of its
metrics, of those of earlier exposures, and of the alerts that stand.  Alerts
go to the log, to Redis, where status and pages find them, and to Kafka.
"""

from ._alert import *
from ._board import *
from ._conditions import *
from ._evaluate import *
from ._exposure import *
from ._kafka import *
from ._load import *
from ._memory import *
from ._metric_names import *
from ._observer import *
from ._rule import *
