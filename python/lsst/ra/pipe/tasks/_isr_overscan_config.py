# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Overscan settings by detector and amplifier, named as in the Science Pipelines."""

from __future__ import annotations

__all__ = (
    "OverscanAmpConfig",
    "OverscanCameraConfig",
    "OverscanDetectorConfig",
    "ParallelOverscanConfig",
    "SerialOverscanConfig",
)

from collections.abc import Iterator

from lsst.images.cameras import Detector
from lsst.pex.config import ChoiceField, Config, ConfigDictField, ConfigField, Field, ListField

from ..algorithms.isr import OVERSCAN_METHODS, OverscanSettings

_METHODS = {
    "MEDIAN_PER_ROW": "Median of each row of the overscan.",
    "MEAN_PER_ROW": "Mean of each row of the overscan.",
    "MEDIAN": "Median of the overscan.",
    "MEAN": "Mean of the overscan.",
    "MEANCLIP": "Clipped mean of the overscan.",
    "POLY": "Polynomial along the overscan (not implemented).",
    "CHEB": "Chebyshev polynomial along the overscan (not implemented).",
    "LEG": "Legendre polynomial along the overscan (not implemented).",
    "NATURAL_SPLINE": "Natural spline along the overscan (not implemented).",
    "CUBIC_SPLINE": "Cubic spline along the overscan (not implemented).",
    "AKIMA_SPLINE": "Akima spline along the overscan (not implemented).",
}


class _OverscanConfig(Config):
    """Settings that serial and parallel overscan share."""

    fitType = ChoiceField(
        doc="Method to measure the level.", dtype=str, default="MEDIAN", allowed=_METHODS, optional=False
    )
    order = Field(doc="Order of a polynomial, or number of spline knots.", dtype=int, default=1)
    numSigmaClip = Field(
        doc="Pixels further from their row's median are rejected (robust standard deviation).",
        dtype=float,
        default=3.0,
    )
    maskPlanes = ListField(doc="Mask planes to reject.", dtype=str, default=["BAD", "SAT"])
    overscanIsInt = Field(doc="Treat the pixels as integers (not implemented).", dtype=bool, default=True)
    maxDeviation = Field(
        doc="Pixels further from the median are rejected (adu).",
        dtype=float,
        default=1000.0,
        check=lambda x: x > 0,
    )
    doAbsoluteMaxDeviation = Field(
        doc="Reject deviations of either sign; otherwise positive ones only.", dtype=bool, default=True
    )
    leadingToSkip = Field(doc="Pixels to skip next to the data section.", dtype=int, default=0)
    trailingToSkip = Field(doc="Pixels to skip at the far end.", dtype=int, default=0)

    def problems(self) -> Iterator[str]:
        """Say which settings are not implemented.

        Yields
        ------
        problem
            Field, its value and what is implemented.
        """
        if self.fitType not in OVERSCAN_METHODS:
            yield f"fitType={self.fitType!r} is not implemented; expected one of {sorted(OVERSCAN_METHODS)}"
        if self.overscanIsInt:
            yield "overscanIsInt=True is not implemented"
        if unknown := set(self.maskPlanes) - {"BAD", "SAT"}:
            yield f"maskPlanes={sorted(unknown)} are not known before assembly; expected BAD and SAT"


class SerialOverscanConfig(_OverscanConfig):
    """Overscan pixels at the end of each row."""

    def settings(self) -> OverscanSettings:
        """Return the settings for pixels in adu.

        Returns
        -------
        settings
            Settings of the algorithm.
        """
        return OverscanSettings(
            method=self.fitType,
            leading=self.leadingToSkip,
            trailing=self.trailingToSkip,
            n_sigma=self.numSigmaClip,
            max_deviation=self.maxDeviation,
            absolute_deviation=self.doAbsoluteMaxDeviation,
        )


class ParallelOverscanConfig(_OverscanConfig):
    """Overscan pixels at the end of each column."""

    doParallelOverscanSaturation = Field(
        doc="Reject pixels that saturation spilled into.", dtype=bool, default=True
    )
    parallelOverscanSaturationLevel = Field(
        doc="Saturation level to use when saturation is not masked (adu).", dtype=float, default=20000.0
    )
    parallelOverscanSaturationLevelAdjustmentFactor = Field(
        doc="Factor of the saturation level at which an overscan pixel is rejected.",
        dtype=float,
        default=0.75,
    )
    parallelOverscanMaskGrowSize = Field(
        doc="Grow the rejected pixels by this much (pixel).", dtype=int, default=7
    )
    parallelOverscanMaskedColumnGrowSize = Field(
        doc="Grow rejected columns by this much (pixel).", dtype=int, default=2
    )
    parallelOverscanFraction = Field(
        doc="Do not correct if the overscan's median is a larger fraction of the image's,",
        dtype=float,
        default=0.5,
    )
    parallelOverscanImageThreshold = Field(
        doc="and the image's median is larger than this (unit of the image).", dtype=float, default=10000.0
    )
    doMedianSmoothingOutlierRejection = Field(
        doc="Reject columns that are brighter than their neighbours.", dtype=bool, default=True
    )
    medianSmoothingKernel = Field(
        doc="Columns of the median filter for that; odd.", dtype=int, default=5, check=lambda x: x % 2 == 1
    )
    medianSmoothingOutlierThreshold = Field(
        doc="Excess over the filtered columns at which one is rejected (adu).",
        dtype=float,
        default=5.0,
        check=lambda x: x > 0.0,
    )

    def setDefaults(self) -> None:
        super().setDefaults()
        self.doAbsoluteMaxDeviation = False

    def settings(self, gain: float) -> OverscanSettings:
        """Return the settings for pixels in the image's unit.

        Parameters
        ----------
        gain
            Image units in an adu.

        Returns
        -------
        settings
            Settings of the algorithm.
        """
        return OverscanSettings(
            method=self.fitType,
            leading=self.leadingToSkip,
            trailing=self.trailingToSkip,
            n_sigma=self.numSigmaClip,
            max_deviation=gain * self.maxDeviation,
            absolute_deviation=self.doAbsoluteMaxDeviation,
            grow_lines=self.parallelOverscanMaskedColumnGrowSize,
            smoothing_kernel=self.medianSmoothingKernel if self.doMedianSmoothingOutlierRejection else 0,
            smoothing_threshold=gain * self.medianSmoothingOutlierThreshold,
        )


class OverscanAmpConfig(Config):
    """Settings of one amplifier."""

    doSerialOverscan = Field(doc="Subtract the serial overscan.", dtype=bool, default=True)
    serialOverscanConfig = ConfigField(doc="Serial overscan.", dtype=SerialOverscanConfig)
    doParallelOverscanCrosstalk = Field(
        doc="Has no effect: crosstalk is corrected in the overscan as well.", dtype=bool, default=True
    )
    doParallelOverscan = Field(doc="Subtract the parallel overscan.", dtype=bool, default=True)
    parallelOverscanConfig = ConfigField(doc="Parallel overscan.", dtype=ParallelOverscanConfig)
    saturation = Field(
        doc="Saturation level (adu), instead of the calibration's; NaN for that.",
        dtype=float,
        default=float("nan"),
    )
    suspectLevel = Field(
        doc="Level of suspect pixels (adu), instead of the calibration's; NaN for that.",
        dtype=float,
        default=float("nan"),
    )
    gain = Field(
        doc="Gain (electron/adu), instead of the calibration's; NaN for that.",
        dtype=float,
        default=float("nan"),
    )

    def setDefaults(self) -> None:
        super().setDefaults()
        for overscan in (self.serialOverscanConfig, self.parallelOverscanConfig):
            overscan.fitType = "MEDIAN_PER_ROW"
            overscan.leadingToSkip = overscan.trailingToSkip = 3
            overscan.overscanIsInt = False
        self.parallelOverscanConfig.maxDeviation = 100.0

    def problems(self) -> Iterator[str]:
        """Say which enabled settings are not implemented.

        Yields
        ------
        problem
            Field, its value and what is implemented.
        """
        for enabled, name in (
            (self.doSerialOverscan, "serialOverscanConfig"),
            (self.doParallelOverscan, "parallelOverscanConfig"),
        ):
            if enabled:
                yield from (f"{name}.{problem}" for problem in getattr(self, name).problems())


class OverscanDetectorConfig(Config):
    """Settings of one detector."""

    ampRules = ConfigDictField(
        doc="Settings of single amplifiers, by name.", keytype=str, itemtype=OverscanAmpConfig, default={}
    )
    defaultAmpConfig = ConfigField(doc="Settings of the other amplifiers.", dtype=OverscanAmpConfig)
    integerDitherMode = ChoiceField(
        doc="Random numbers to add to the counts, against their rounding.",
        dtype=str,
        default="SYMMETRIC",
        allowed={
            "POSITIVE": "Between 0 and 1 adu.",
            "NEGATIVE": "Between -1 and 0 adu.",
            "SYMMETRIC": "Between -0.5 and 0.5 adu.",
            "NONE": "None.",
        },
        optional=False,
    )
    itlDipMinHeight = Field(
        doc="Saturated rows that a column needs to cause a dip (pixel).", dtype=int, default=50
    )
    itlDipMinWidth = Field(doc="Number of such columns that a star needs.", dtype=int, default=15)
    itlDipMaxWidth = Field(doc="Largest number of columns that counts.", dtype=int, default=50)
    itlDipWidthScale = Field(doc="Columns to mask per saturated column.", dtype=float, default=1.5)
    itlDipBackgroundFraction = Field(
        doc="Depth of the dip per background and saturated column; 0 for no masking.",
        dtype=float,
        default=0.0,
    )
    itlDipMinBackgroundNoiseFraction = Field(
        doc="Smallest depth per background noise that is masked.", dtype=float, default=0.5
    )
    itlDipMaxColsPerImage = Field(doc="With more columns, none is masked.", dtype=int, default=500)

    def for_amplifier(self, name: str) -> OverscanAmpConfig:
        """Return the settings of an amplifier.

        Parameters
        ----------
        name
            Name of the amplifier.

        Returns
        -------
        config
            Its own settings, or the default ones.
        """
        config: OverscanAmpConfig = self.ampRules.get(name, self.defaultAmpConfig)
        return config

    def problems(self) -> Iterator[str]:
        """Say which enabled settings are not implemented.

        Yields
        ------
        problem
            Field, its value and what is implemented.
        """
        yield from (f"defaultAmpConfig.{problem}" for problem in self.defaultAmpConfig.problems())
        for name in self.ampRules:
            yield from (f"ampRules[{name!r}].{problem}" for problem in self.ampRules[name].problems())


class OverscanCameraConfig(Config):
    """Settings of all detectors."""

    detectorRules = ConfigDictField(
        doc="Settings of single detectors.", keytype=str, itemtype=OverscanDetectorConfig, default={}
    )
    defaultDetectorConfig = ConfigField(doc="Settings of the other detectors.", dtype=OverscanDetectorConfig)
    detectorRuleKeyType = ChoiceField(
        doc="What the keys of detectorRules are.",
        dtype=str,
        default="NAME",
        allowed={"NAME": "Full names.", "SERIAL": "Serial numbers.", "ID": "Detector numbers."},
        optional=False,
    )

    def for_detector(self, detector: Detector) -> OverscanDetectorConfig:
        """Return the settings of a detector.

        Parameters
        ----------
        detector
            The detector.

        Returns
        -------
        config
            Its own settings, or the default ones.
        """
        keys = {"NAME": detector.name, "SERIAL": detector.serial, "ID": str(detector.id)}
        key = keys[self.detectorRuleKeyType]
        config: OverscanDetectorConfig = self.detectorRules.get(key, self.defaultDetectorConfig)
        return config

    def problems(self) -> Iterator[str]:
        """Say which enabled settings are not implemented.

        Yields
        ------
        problem
            Field, its value and what is implemented.
        """
        yield from (f"defaultDetectorConfig.{problem}" for problem in self.defaultDetectorConfig.problems())
        for name in self.detectorRules:
            yield from (
                f"detectorRules[{name!r}].{problem}" for problem in self.detectorRules[name].problems()
            )
