# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Instrument signature removal: kernels that run once over the pixels."""

from ._assembly import (
    AmplifierSteps,
    all_saturated,
    assemble,
    sample_rows,
    values_after_crosstalk,
)
from ._binning import bin_image
from ._bleeds import (
    ItlDipSettings,
    mask_e2v_edge_bleeds,
    mask_itl_dips,
    mask_itl_edge_bleed,
    mask_itl_saturation_sag,
    widen_saturation_trails,
)
from ._crosstalk import CrosstalkTerms
from ._deferred_charge import TRAP_KINDS, DeferredChargeError, DeferredChargeTerms
from ._detrend import DetrendCalibrations, NoiseModel, detrend
from ._dither import DITHER_OFFSETS, MersenneTwister, dithered_amplifiers
from ._footprints import Footprint, find_footprints
from ._interpolation import interpolate_rows, interpolation_weights
from ._layout import AmplifierLayout, LayoutError
from ._linearity import LINEARITY_KINDS, LinearityError, LinearityTerms
from ._mask_pixels import count_bits, grow_bits, set_masked
from ._overscan import OVERSCAN_METHODS, OverscanFit, OverscanSettings, fit_overscan, saturated_overscan
from ._statistics import ClippedStatistics, clipped_statistics, median, quantiles

__all__ = (
    "DITHER_OFFSETS",
    "LINEARITY_KINDS",
    "OVERSCAN_METHODS",
    "TRAP_KINDS",
    "AmplifierLayout",
    "AmplifierSteps",
    "ClippedStatistics",
    "CrosstalkTerms",
    "DeferredChargeError",
    "DeferredChargeTerms",
    "DetrendCalibrations",
    "Footprint",
    "ItlDipSettings",
    "LayoutError",
    "LinearityError",
    "LinearityTerms",
    "MersenneTwister",
    "NoiseModel",
    "OverscanFit",
    "OverscanSettings",
    "all_saturated",
    "assemble",
    "bin_image",
    "clipped_statistics",
    "count_bits",
    "detrend",
    "dithered_amplifiers",
    "find_footprints",
    "fit_overscan",
    "grow_bits",
    "interpolate_rows",
    "interpolation_weights",
    "mask_e2v_edge_bleeds",
    "mask_itl_dips",
    "mask_itl_edge_bleed",
    "mask_itl_saturation_sag",
    "median",
    "quantiles",
    "sample_rows",
    "saturated_overscan",
    "set_masked",
    "values_after_crosstalk",
    "widen_saturation_trails",
)
