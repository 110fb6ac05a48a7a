# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Settings of the steps of ISR, named as those of the Science Pipelines."""

from __future__ import annotations

__all__ = (
    "AmpOffsetConfig",
    "AssembleCcdConfig",
    "BinningConfig",
    "CrosstalkConfig",
    "DeferredChargeConfig",
    "IsrStatisticsConfig",
    "MaskingConfig",
    "QaConfig",
)

from lsst.pex.config import ChoiceField, Config, ConfigField, Field, ListField


class FlatnessConfig(Config):
    """Flatness statistics; not used."""

    meshX = Field(doc="Mesh size along x (pixel).", dtype=int, default=256)
    meshY = Field(doc="Mesh size along y (pixel).", dtype=int, default=256)
    doClip = Field(doc="Clip outliers.", dtype=bool, default=True)
    clipSigma = Field(doc="Clipping threshold (standard deviation).", dtype=float, default=3.0)
    nIter = Field(doc="Clipping iterations.", dtype=int, default=3)


class QaConfig(Config):
    """Pictures of intermediate results."""

    saveStats = Field(doc="Has no effect.", dtype=bool, default=True)
    flatness = ConfigField(doc="Flatness statistics.", dtype=FlatnessConfig)
    doWriteOss = Field(
        doc="Write the overscan-subtracted image (not implemented).", dtype=bool, default=False
    )
    doThumbnailOss = Field(doc="Write a thumbnail of it (not implemented).", dtype=bool, default=False)
    doWriteFlattened = Field(doc="Write the flattened image (not implemented).", dtype=bool, default=False)
    doThumbnailFlattened = Field(doc="Write a thumbnail of it (not implemented).", dtype=bool, default=False)
    thumbnailBinning = Field(doc="Binning of the thumbnails (pixel).", dtype=int, default=4)
    thumbnailStdev = Field(doc="Standard deviations below the median to show.", dtype=float, default=3.0)
    thumbnailRange = Field(doc="Range to show (standard deviation).", dtype=float, default=5.0)
    thumbnailQ = Field(doc="Softening of the stretch.", dtype=float, default=20.0)
    thumbnailSatBorder = Field(doc="Border of saturated regions (pixel).", dtype=int, default=2)


class AssembleCcdConfig(Config):
    """Assembly of the amplifiers."""

    doTrim = Field(doc="Leave out prescan and overscan; must be True.", dtype=bool, default=True)
    keysToRemove = ListField(doc="Header keywords to remove; must be empty.", dtype=str, default=[])


class MaskingConfig(Config):
    """Detector-specific masks."""

    doSpecificMasking = Field(doc="Mask ghosts and glints (not implemented).", dtype=bool, default=False)


class DeferredChargeConfig(Config):
    """Correction of serial deferred charge."""

    nPixelOffsetCorrection = Field(
        doc="Pixels that the amplifier's drift depends on, the one at hand included.", dtype=int, default=15
    )
    nPixelTrapCorrection = Field(
        doc="Previous pixels that the trap's occupancy depends on.", dtype=int, default=6
    )
    zeroUnusedPixels = Field(doc="Take prescan pixels to be empty; must be True.", dtype=bool, default=True)


class CrosstalkConfig(Config):
    """Crosstalk within a detector."""

    minPixelToMask = Field(
        doc="Set the mask plane for a crosstalk beyond the usual one by this much, or for sources above this"
        " level (unit of the coefficients).",
        dtype=float,
        default=45000.0,
    )
    crosstalkMaskPlane = Field(doc="Mask plane of noticeable crosstalk.", dtype=str, default="CROSSTALK")
    doSubtrahendMasking = Field(
        doc="Set the mask plane by the crosstalk; otherwise by the source's level.", dtype=bool, default=False
    )
    crosstalkBackgroundMethod = ChoiceField(
        doc="Background to subtract from the sources.",
        dtype=str,
        default="None",
        allowed={
            "None": "None.",
            "AMP": "That of the amplifier (not implemented).",
            "DETECTOR": "That of the detector (not implemented).",
        },
        optional=False,
    )
    useConfigCoefficients = Field(
        doc="Use the coefficients below (not implemented).", dtype=bool, default=False
    )
    crosstalkValues = ListField(doc="Coefficients, row by row.", dtype=float, default=[0.0])
    crosstalkShape = ListField(doc="Shape of the matrix of coefficients.", dtype=int, default=[1])
    doQuadraticCrosstalkCorrection = Field(doc="Use the quadratic coefficients.", dtype=bool, default=False)


class BackgroundConfig(Config):
    """Background model; not used."""

    statisticsProperty = Field(doc="Statistic of a cell.", dtype=str, default="MEANCLIP")
    undersampleStyle = Field(doc="What to do with few cells.", dtype=str, default="REDUCE_INTERP_ORDER")
    binSize = Field(doc="Size of a cell (pixel).", dtype=int, default=128)
    binSizeX = Field(doc="Size along x (pixel); 0 for binSize.", dtype=int, default=0)
    binSizeY = Field(doc="Size along y (pixel); 0 for binSize.", dtype=int, default=0)
    algorithm = Field(doc="Interpolation between cells.", dtype=str, default="AKIMA_SPLINE", optional=True)
    ignoredPixelMask = ListField(
        doc="Mask planes to ignore.",
        dtype=str,
        default=["BAD", "EDGE", "DETECTED", "DETECTED_NEGATIVE", "NO_DATA"],
    )
    isNanSafe = Field(doc="Ignore NaN.", dtype=bool, default=False)
    useApprox = Field(doc="Fit a Chebyshev polynomial.", dtype=bool, default=False)
    approxOrderX = Field(doc="Its order along x.", dtype=int, default=6)
    approxOrderY = Field(doc="Its order along y; -1 for that along x.", dtype=int, default=-1)
    weighting = Field(doc="Weight by the variance.", dtype=bool, default=True)
    doApplyFlatBackgroundRatio = Field(doc="Use a flat-to-background ratio.", dtype=bool, default=False)
    doFilterSuperPixels = Field(doc="Filter the cells.", dtype=bool, default=False)
    superPixelFilterSize = Field(doc="Size of that filter (cell).", dtype=int, default=3)


class DetectionConfig(Config):
    """Source detection; not used."""

    minPixels = Field(doc="Smallest area (pixel).", dtype=int, default=1)
    isotropicGrow = Field(doc="Grow in all directions.", dtype=bool, default=True)
    combinedGrow = Field(doc="Grow all together.", dtype=bool, default=True)
    nSigmaToGrow = Field(doc="Growth (PSF standard deviation).", dtype=float, default=2.4)
    returnOriginalFootprints = Field(doc="Do not grow.", dtype=bool, default=False)
    thresholdValue = Field(doc="Threshold.", dtype=float, default=5.0)
    includeThresholdMultiplier = Field(doc="Factor of the threshold.", dtype=float, default=1.0)
    thresholdType = Field(doc="Unit of the threshold.", dtype=str, default="stdev")
    thresholdPolarity = Field(doc="Sign of the sources.", dtype=str, default="positive")
    adjustBackground = Field(doc="Shift of the background.", dtype=float, default=0.0)
    reEstimateBackground = Field(doc="Estimate the background again.", dtype=bool, default=False)
    doApplyFlatBackgroundRatio = Field(doc="Use a flat-to-background ratio.", dtype=bool, default=False)
    background = ConfigField(doc="Background.", dtype=BackgroundConfig)
    doTempLocalBackground = Field(doc="Use a local background.", dtype=bool, default=True)
    tempLocalBackground = ConfigField(doc="Local background.", dtype=BackgroundConfig)
    doTempWideBackground = Field(doc="Use a wide background.", dtype=bool, default=False)
    tempWideBackground = ConfigField(doc="Wide background.", dtype=BackgroundConfig)
    nPeaksMaxSimple = Field(doc="Peaks of a simple footprint.", dtype=int, default=1)
    nSigmaForKernel = Field(doc="Kernel size (PSF standard deviation).", dtype=float, default=7.0)
    statsMask = ListField(doc="Mask planes to ignore.", dtype=str, default=["BAD", "SAT", "EDGE", "NO_DATA"])
    excludeMaskPlanes = ListField(doc="Mask planes without detections.", dtype=str, default=[])

    def setDefaults(self) -> None:
        super().setDefaults()
        self.background.useApprox = True
        self.tempLocalBackground.binSize = 64
        self.tempWideBackground.binSize = 512
        self.tempWideBackground.ignoredPixelMask = ["BAD", "EDGE", "NO_DATA"]


class AmpOffsetConfig(Config):
    """Offsets between amplifiers; not implemented."""

    ampEdgeInset = Field(doc="Distance of the strip from the edge (pixel).", dtype=int, default=5)
    ampEdgeWidth = Field(doc="Width of the strip (pixel).", dtype=int, default=64)
    ampEdgeMinFrac = Field(doc="Smallest fraction of usable rows.", dtype=float, default=0.5)
    ampEdgeMaxOffset = Field(doc="Largest offset that is believed (adu).", dtype=float, default=5.0)
    doWindowSmoothing = Field(doc="Smooth along the edge.", dtype=bool, default=True)
    ampEdgeWindowFrac = Field(doc="Window, as a fraction of the edge.", dtype=float, default=512 / 4176)
    doBackground = Field(doc="Subtract the background first.", dtype=bool, default=True)
    background = ConfigField(doc="Background.", dtype=BackgroundConfig)
    backgroundFractionSample = Field(doc="Cell, as a fraction of the amplifier.", dtype=float, default=1.0)
    doDetection = Field(doc="Mask sources first.", dtype=bool, default=True)
    detection = ConfigField(doc="Detection.", dtype=DetectionConfig)
    applyWeights = Field(doc="Weight by the edge's length.", dtype=bool, default=True)
    doApplyAmpOffset = Field(doc="Correct the image.", dtype=bool, default=False)

    def setDefaults(self) -> None:
        super().setDefaults()
        self.background.ignoredPixelMask = [
            "BAD",
            "SAT",
            "INTRP",
            "CR",
            "EDGE",
            "DETECTED",
            "DETECTED_NEGATIVE",
            "SUSPECT",
            "NO_DATA",
        ]


class IsrStatisticsConfig(Config):
    """Additional statistics; not implemented."""

    doCtiStatistics = Field(doc="Deferred charge.", dtype=bool, default=False)
    doApplyGainsForCtiStatistics = Field(doc="In electron.", dtype=bool, default=True)
    doBandingStatistics = Field(doc="Banding.", dtype=bool, default=False)
    bandingKernelSize = Field(doc="Kernel (pixel).", dtype=int, default=3)
    bandingFractionLow = Field(doc="Low quantile.", dtype=float, default=0.1)
    bandingFractionHigh = Field(doc="High quantile.", dtype=float, default=0.9)
    bandingUseHalfDetector = Field(doc="Use half of the detector.", dtype=float, default=1.0)
    doProjectionStatistics = Field(doc="Projections.", dtype=bool, default=False)
    projectionKernelSize = Field(doc="Kernel (pixel).", dtype=int, default=0)
    doProjectionFft = Field(doc="Fourier transforms of projections.", dtype=bool, default=False)
    projectionFftWindow = Field(doc="Window of the transform.", dtype=str, default="HAMMING")
    doDivisaderoStatistics = Field(doc="Divisadero tearing.", dtype=bool, default=False)
    divisaderoEdgePixels = Field(doc="Edge to leave out (pixel).", dtype=int, default=25)
    divisaderoNumImpactPixels = Field(doc="Columns to use (pixel).", dtype=int, default=2)
    divisaderoProjectionMinimum = Field(doc="First row.", dtype=int, default=10)
    divisaderoProjectionMaximum = Field(doc="Last row.", dtype=int, default=210)
    doCopyCalibDistributionStatistics = Field(doc="Copy those of calibrations.", dtype=bool, default=False)
    expectedDistributionLevels = ListField(
        doc="Percentiles.", dtype=float, default=[0.0, 5.0, 16.0, 50.0, 84.0, 95.0, 100.0]
    )
    doBiasShiftStatistics = Field(doc="Bias shifts.", dtype=bool, default=False)
    biasShiftFilterOrder = Field(doc="Order of the filter.", dtype=int, default=5)
    biasShiftCutoff = Field(doc="Cut-off of the filter.", dtype=float, default=1.0 / 15.0)
    biasShiftWindow = Field(doc="Window (row).", dtype=int, default=30)
    biasShiftThreshold = Field(doc="Threshold (standard deviation).", dtype=float, default=3.0)
    biasShiftRowSkip = Field(doc="Rows to skip.", dtype=int, default=30)
    biasShiftColumnSkip = Field(doc="Columns to skip.", dtype=int, default=3)
    doAmplifierCorrelationStatistics = Field(doc="Correlations of amplifiers.", dtype=bool, default=False)
    stat = Field(doc="Statistic.", dtype=str, default="MEANCLIP")
    nSigmaClip = Field(doc="Clipping threshold (standard deviation).", dtype=float, default=3.0)
    nIter = Field(doc="Clipping iterations.", dtype=int, default=3)
    badMask = ListField(doc="Mask planes to ignore.", dtype=str, default=["BAD", "INTRP", "SAT"])


class BinningConfig(Config):
    """Binning of images; the factors are those of the ISR config."""

    binFactor = Field(doc="Has no effect.", dtype=int, default=8)
