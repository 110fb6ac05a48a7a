# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Measurement of one detector's image: sky, sources, PSF and their table."""

from ._aperture_correction import *
from ._background import *
from ._cosmic_rays import *
from ._detection import *
from ._higher_moments import *
from ._measure import *
from ._metrics import *
from ._moffat import *
from ._photometry import *
from ._pixels import *
from ._psf import *
from ._psf_model import *
from ._psf_photometry import *
from ._psf_statistics import *
from ._robust import *
from ._settings import *
from ._shapes import *
from ._star_selection import *
from ._star_table import *
from ._surfaces import *
