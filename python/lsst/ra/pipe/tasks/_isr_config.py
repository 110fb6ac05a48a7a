# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Settings and datasets of the ISR task, named as in the Science Pipelines."""

from __future__ import annotations

__all__ = ("FirstLookIsrConfig", "FirstLookIsrConnections")

import math
from collections.abc import Iterator

from lsst.pex.config import ChoiceField, ConfigField, Field, FieldValidationError, ListField, RangeField
from lsst.pipe.base import PipelineTaskConfig, PipelineTaskConnections
from lsst.pipe.base.connectionTypes import Input, Output, PrerequisiteInput

from ..algorithms import MASK_SCHEMA
from ._isr_overscan_config import OverscanCameraConfig
from ._isr_step_configs import (
    AmpOffsetConfig,
    AssembleCcdConfig,
    BinningConfig,
    CrosstalkConfig,
    DeferredChargeConfig,
    IsrStatisticsConfig,
    MaskingConfig,
    QaConfig,
)

_LIMIT_SOURCES = {
    "NONE": "None, except those of the overscan settings.",
    "CAMERAMODEL": "That of the camera.",
    "PTCTURNOFF": "The turn-off of the photon transfer curve.",
}


class FirstLookIsrConnections(
    PipelineTaskConnections, dimensions=("instrument", "exposure", "detector"), defaultTemplates={}
):
    """Datasets of `FirstLookIsrTask`.

    Parameters
    ----------
    config
        Settings of the task; the datasets of disabled steps are left out.
    """

    ccdExposure = Input(
        doc="Raw image.",
        name="raw",
        storageClass="RapidRaw",
        dimensions=("instrument", "exposure", "detector"),
    )
    bias = PrerequisiteInput(
        doc="Bias (electron).",
        name="bias",
        storageClass="MaskedImageV2",
        dimensions=("instrument", "detector"),
        isCalibration=True,
    )
    dark = PrerequisiteInput(
        doc="Dark of one second (electron).",
        name="dark",
        storageClass="MaskedImageV2",
        dimensions=("instrument", "detector"),
        isCalibration=True,
    )
    flat = PrerequisiteInput(
        doc="Flat.",
        name="flat",
        storageClass="MaskedImageV2",
        dimensions=("instrument", "detector", "physical_filter"),
        isCalibration=True,
    )
    ptc = PrerequisiteInput(
        doc="Gains, read noise and turn-offs, from the photon transfer curve.",
        name="ptc",
        storageClass="RapidPhotonTransferCurve",
        dimensions=("instrument", "detector"),
        isCalibration=True,
    )
    defects = PrerequisiteInput(
        doc="Defects.",
        name="defects",
        storageClass="RapidDefects",
        dimensions=("instrument", "detector"),
        isCalibration=True,
    )
    linearizer = PrerequisiteInput(
        doc="Correction of the response.",
        name="linearizer",
        storageClass="RapidLinearizer",
        dimensions=("instrument", "detector"),
        isCalibration=True,
    )
    crosstalk = PrerequisiteInput(
        doc="Crosstalk between amplifiers.",
        name="crosstalk",
        storageClass="RapidCrosstalk",
        dimensions=("instrument", "detector"),
        isCalibration=True,
    )
    deferredChargeCalib = PrerequisiteInput(
        doc="Serial deferred charge.",
        name="cti",
        storageClass="RapidDeferredCharge",
        dimensions=("instrument", "detector"),
        isCalibration=True,
    )
    outputExposure = Output(
        doc="Image without instrument signature (electron).",
        name="post_isr_image",
        storageClass="MaskedImageV2",
        dimensions=("instrument", "exposure", "detector"),
    )
    preInterpExposure = Output(
        doc="The same, without interpolation.",
        name="rapid_pre_interpolation_image",
        storageClass="MaskedImageV2",
        dimensions=("instrument", "exposure", "detector"),
    )
    outputBin1Exposure = Output(
        doc="Image in blocks of binFactor1 pixels (electron).",
        name="rapid_isr_image_bin8",
        storageClass="ImageV2",
        dimensions=("instrument", "exposure", "detector"),
    )
    outputBin2Exposure = Output(
        doc="Image in blocks of binFactor2 pixels (electron).",
        name="rapid_isr_image_bin64",
        storageClass="ImageV2",
        dimensions=("instrument", "exposure", "detector"),
    )

    def __init__(self, *, config: FirstLookIsrConfig | None = None) -> None:
        super().__init__(config=config)
        assert config is not None
        wanted = config.wanted_calibrations()
        wanted |= {
            "preInterpExposure": config.doSaveInterpPixels,
            "outputBin1Exposure": config.doBinnedExposures,
            "outputBin2Exposure": config.doBinnedExposures,
        }
        for name, is_wanted in wanted.items():
            if not is_wanted:
                delattr(self, name)


class FirstLookIsrConfig(PipelineTaskConfig, pipelineConnections=FirstLookIsrConnections):
    """Settings of `FirstLookIsrTask`, in the order of the steps.

    Names, defaults, units and order are those of
    ``lsst.ip.isr.IsrTaskLSSTConfig``, so that its overrides can be loaded.  A
    step that is enabled and not implemented is an error.
    """

    expectWcs = Field(doc="Warn if the header has no pointing.", dtype=bool, default=True)
    qa = ConfigField(doc="Pictures of intermediate results.", dtype=QaConfig)
    doHeaderProvenance = Field(
        doc="Write identifiers of the calibrations into the image's metadata.", dtype=bool, default=True
    )
    doRaiseOnCalibMismatch = Field(
        doc="Refuse calibrations of another camera state, instead of a warning.", dtype=bool, default=False
    )
    cameraKeywordsToCompare = ListField(doc="Header keywords of the camera's state.", dtype=str, default=[])
    doDiffNonLinearCorrection = Field(
        doc="Correct differential non-linearity (not implemented).", dtype=bool, default=False
    )
    doBootstrap = Field(doc="Do without a PTC (not implemented).", dtype=bool, default=False)
    doCheckUnprocessableData = Field(
        doc="Stop if all amplifiers are bad, or the back-side bias voltage is off.", dtype=bool, default=True
    )
    overscanCamera = ConfigField(
        doc="Overscan, dithering and dips by detector and amplifier.", dtype=OverscanCameraConfig
    )
    serialOverscanMedianShiftSigmaThreshold = Field(
        doc="An amplifier whose overscan level is further from that of the PTC is bad (standard deviation of"
        " the latter); not finite for no check.",
        dtype=float,
        default=math.inf,
    )
    ampNoiseThreshold = Field(
        doc="An amplifier with a larger noise is bad (electron); not finite for no check.",
        dtype=float,
        default=25.0,
    )
    bssVoltageMinimum = Field(
        doc="Smallest back-side bias voltage of a detector that is on (V); 0 for no check.",
        dtype=float,
        default=5.0,
    )
    bssVoltageKeyword = Field(doc="Header keyword of that voltage.", dtype=str, default="BSSVBS")
    hvBiasKeyword = Field(doc="Header keyword of its switch.", dtype=str, default="HVBIAS")

    doAssembleCcd = Field(doc="Assemble the amplifiers; must be True.", dtype=bool, default=True)
    assembleCcd = ConfigField(doc="Assembly.", dtype=AssembleCcdConfig)
    doBias = Field(doc="Subtract the bias.", dtype=bool, default=True)
    doDeferredCharge = Field(doc="Correct serial deferred charge.", dtype=bool, default=True)
    deferredChargeCorrection = ConfigField(doc="Serial deferred charge.", dtype=DeferredChargeConfig)
    doLinearize = Field(doc="Correct the response.", dtype=bool, default=True)
    doCorrectGains = Field(
        doc="Correct the gains for restarts of the detectors (not implemented).", dtype=bool, default=True
    )
    doApplyGains = Field(
        doc="Multiply with the gains: the image is in electron instead of adu.", dtype=bool, default=True
    )
    useGainsFrom = ChoiceField(
        doc="Calibration that has the gains.",
        dtype=str,
        default="PTC",
        allowed={"PTC": "Photon transfer curve.", "LINEARIZER": "Linearizer (not implemented)."},
        optional=False,
    )

    doVariance = Field(doc="Model the variance.", dtype=bool, default=True)
    maskNegativeVariance = Field(doc="Mask variances that are not positive.", dtype=bool, default=True)
    negativeVarianceMaskName = Field(doc="Mask plane for them.", dtype=str, default="BAD")
    doSaturation = Field(doc="Mask saturated pixels.", dtype=bool, default=True)
    saturatedMaskName = Field(doc="Mask plane of saturated pixels; must be SAT.", dtype=str, default="SAT")
    defaultSaturationSource = ChoiceField(
        doc="Source of the saturation levels.",
        dtype=str,
        default="PTCTURNOFF",
        allowed=_LIMIT_SOURCES,
        optional=False,
    )
    doSuspect = Field(doc="Mask suspect pixels.", dtype=bool, default=True)
    suspectMaskName = Field(doc="Mask plane of suspect pixels.", dtype=str, default="SUSPECT")
    defaultSuspectSource = ChoiceField(
        doc="Source of the levels of suspect pixels.",
        dtype=str,
        default="PTCTURNOFF",
        allowed=_LIMIT_SOURCES,
        optional=False,
    )
    doCrosstalk = Field(doc="Correct crosstalk within the detector.", dtype=bool, default=True)
    crosstalk = ConfigField(doc="Crosstalk.", dtype=CrosstalkConfig)

    doITLDipMask = Field(doc="Mask dark column trails of ITL detectors.", dtype=bool, default=True)
    itlDipMaskPlanes = ListField(
        doc="Mask planes for these trails.", dtype=str, default=["SUSPECT", "ITL_DIP"]
    )
    doDefect = Field(doc="Mask defects.", dtype=bool, default=True)
    badAmps = ListField(
        doc="Bad amplifiers, such as R42_S21_C07; used if doDefect is set.", dtype=str, default=[]
    )
    doNanMasking = Field(doc="Mask values that are not finite.", dtype=bool, default=True)
    doWidenSaturationTrails = Field(doc="Widen bleed trails by their width.", dtype=bool, default=False)
    masking = ConfigField(doc="Detector-specific masks.", dtype=MaskingConfig)
    doE2VEdgeBleedMask = Field(doc="Mask edge bleeds of E2V detectors.", dtype=bool, default=True)
    e2vEdgeBleedSatMinArea = Field(
        doc="Smallest saturated area with an edge bleed (pixel).", dtype=int, default=10000
    )
    e2vEdgeBleedSatMaxArea = Field(
        doc="Smallest saturated area that is too large for it (pixel).", dtype=int, default=100000
    )
    e2vEdgeBleedYMax = Field(doc="Rows to mask (pixel).", dtype=int, default=350)
    doITLEdgeBleedMask = Field(doc="Mask edge bleeds of ITL detectors.", dtype=bool, default=True)
    doITLSatSagMask = Field(doc="Mask sagging saturated columns of ITL detectors.", dtype=bool, default=True)
    itlEdgeBleedSatMinArea = Field(
        doc="Smallest saturated area with an edge bleed or sag (pixel).", dtype=int, default=10000
    )
    itlEdgeBleedSatMaxArea = Field(
        doc="Smallest saturated area that is too large for it (pixel).", dtype=int, default=100000
    )
    itlEdgeBleedThreshold = Field(
        doc="Level above the amplifier's median of an edge bleed (electron).", dtype=float, default=5000.0
    )
    itlEdgeBleedModelConstant = Field(
        doc="Decay of its width with the distance from the edge (1/pixel).", dtype=float, default=0.02
    )

    doInterpolate = Field(doc="Interpolate masked pixels.", dtype=bool, default=True)
    maskListToInterpolate = ListField(
        doc="Mask planes to interpolate.", dtype=str, default=["SAT", "BAD", "UNMASKEDNAN"]
    )
    doSaveInterpPixels = Field(doc="Write the image before interpolation as well.", dtype=bool, default=False)
    useLegacyInterp = Field(doc="Interpolate along rows; must be True.", dtype=bool, default=True)
    doAmpOffset = Field(
        doc="Measure offsets between amplifiers (not implemented).", dtype=bool, default=False
    )
    ampOffset = ConfigField(doc="Offsets between amplifiers.", dtype=AmpOffsetConfig)
    doSetBadRegions = Field(doc="Set bad pixels to the image's median.", dtype=bool, default=True)

    doBrighterFatter = Field(
        doc="Correct the brighter-fatter effect (not implemented).", dtype=bool, default=True
    )
    brighterFatterCorrectionMethod = ChoiceField(
        doc="Method of that correction.",
        dtype=str,
        default="COULTON18",
        allowed={
            "COULTON18": "Coulton et al. 2018.",
            "COULTON18_FLUX_CONSERVING": "The same, conserving flux.",
            "ASTIER23": "Astier & Regnault 2023.",
            "ASTIER23+FILTERCORRECTION": "The same, with a colour correction.",
        },
        optional=False,
    )
    brighterFatterLevel = ChoiceField(
        doc="Scope of its kernels.",
        dtype=str,
        default="DETECTOR",
        allowed={"AMP": "One an amplifier.", "DETECTOR": "One a detector."},
        optional=False,
    )
    brighterFatterMaxIter = Field(doc="Largest number of its iterations.", dtype=int, default=10)
    brighterFatterThreshold = Field(
        doc="Change at which to stop iterating (electron, summed).", dtype=float, default=1000.0
    )
    brighterFatterMaskListToInterpolate = ListField(
        doc="Mask planes to interpolate for it.", dtype=str, default=["SAT", "BAD", "NO_DATA", "UNMASKEDNAN"]
    )
    brighterFatterMaskGrowSize = Field(doc="Growth of these masks (pixel).", dtype=int, default=2)
    brighterFatterFwhmForInterpolation = Field(doc="Has no effect (arcsecond).", dtype=float, default=1.0)
    growSaturationFootprintSize = Field(
        doc="Grow saturated regions by this much before interpolation (pixel).", dtype=int, default=1
    )
    doDark = Field(doc="Subtract the dark, scaled by the dark time.", dtype=bool, default=True)
    doFlat = Field(doc="Divide by the flat.", dtype=bool, default=True)
    flatScalingType = ChoiceField(
        doc="What the flat is divided by before.",
        dtype=str,
        default="USER",
        allowed={"USER": "flatUserScale.", "MEAN": "Its mean.", "MEDIAN": "Its median."},
        optional=False,
    )
    flatUserScale = Field(doc="Scale of the flat.", dtype=float, default=1.0)
    noDataVariance = Field(
        doc="Variance of pixels without data, as the flat tells (electron squared).",
        dtype=float,
        default=1e10,
    )
    doStandardStatistics = Field(
        doc="Write statistics of each amplifier into the metadata.", dtype=bool, default=True
    )
    doCalculateStatistics = Field(
        doc="Measure additional statistics (not implemented).", dtype=bool, default=True
    )
    isrStats = ConfigField(doc="Additional statistics.", dtype=IsrStatisticsConfig)
    doBinnedExposures = Field(doc="Write binned images.", dtype=bool, default=False)
    binning = ConfigField(doc="Binning.", dtype=BinningConfig)
    binFactor1 = RangeField(doc="Binning of the first one (pixel).", dtype=int, default=8, min=2)
    binFactor2 = RangeField(doc="Binning of the second one (pixel).", dtype=int, default=64, min=2)

    def wanted_calibrations(self) -> dict[str, bool]:
        """Tell which calibrations the enabled steps need.

        Returns
        -------
        wanted
            Whether each one is needed, by name of its connection.
        """
        return {
            "bias": self.doBias,
            "dark": self.doDark,
            "flat": self.doFlat,
            "ptc": True,
            "defects": self.doDefect,
            "linearizer": self.doLinearize,
            "crosstalk": self.doCrosstalk,
            "deferredChargeCalib": self.doDeferredCharge,
        }

    def validate(self) -> None:
        """Refuse settings that contradict each other or are not implemented.

        Raises
        ------
        FieldValidationError
            Raised with the field, its value and what is expected.
        """
        super().validate()
        for name, problem in (*self._not_implemented(), *self._contradictions()):
            raise FieldValidationError(type(self)._fields[name], self, problem)

    def _not_implemented(self) -> Iterator[tuple[str, str]]:
        """Find enabled steps that are not implemented."""
        for name, reason in (
            ("doDiffNonLinearCorrection", "there is no algorithm for it"),
            ("doBootstrap", "gains and noise come from the PTC"),
            ("doCorrectGains", "there is no reader of gain corrections"),
            ("doAmpOffset", "there is no algorithm for it"),
            ("doBrighterFatter", "there is no algorithm for it"),
            ("doCalculateStatistics", "only doStandardStatistics is"),
        ):
            if getattr(self, name):
                yield name, f"{name}=True is not implemented in FirstLook ({reason}); set it to False."
        for name in ("doAssembleCcd", "useLegacyInterp"):
            if not getattr(self, name):
                yield name, f"{name}=False is not implemented in FirstLook; set it to True."
        if self.useGainsFrom != "PTC":
            yield "useGainsFrom", f"useGainsFrom={self.useGainsFrom!r} is not implemented; expected 'PTC'."
        yield from (("overscanCamera", f"{problem}.") for problem in self.overscanCamera.problems())
        for name in ("doWriteOss", "doThumbnailOss", "doWriteFlattened", "doThumbnailFlattened"):
            if getattr(self.qa, name):
                yield "qa", f"qa.{name}=True is not implemented in FirstLook."
        if not self.assembleCcd.doTrim or self.assembleCcd.keysToRemove:
            yield "assembleCcd", "assembleCcd.doTrim=False and keysToRemove are not implemented in FirstLook."
        if self.masking.doSpecificMasking:
            yield "masking", "masking.doSpecificMasking=True is not implemented in FirstLook."
        if self.doDeferredCharge and not self.deferredChargeCorrection.zeroUnusedPixels:
            yield "deferredChargeCorrection", "zeroUnusedPixels=False is not implemented in FirstLook."
        if self.doCrosstalk and self.crosstalk.useConfigCoefficients:
            yield "crosstalk", "crosstalk.useConfigCoefficients=True is not implemented in FirstLook."
        if self.doCrosstalk and self.crosstalk.crosstalkBackgroundMethod != "None":
            yield "crosstalk", "crosstalk.crosstalkBackgroundMethod must be 'None' for full amplifiers."

    def _contradictions(self) -> Iterator[tuple[str, str]]:
        """Find settings that do not go together."""
        for name in ("doITLEdgeBleedMask", "doE2VEdgeBleedMask"):
            if getattr(self, name) and not self.doSaturation:
                yield name, f"{name}=True needs doSaturation=True."
        if self.doDeferredCharge and not self.doApplyGains:
            yield "doDeferredCharge", "doDeferredCharge=True needs doApplyGains=True."
        if self.saturatedMaskName != "SAT":
            yield "saturatedMaskName", f"saturatedMaskName={self.saturatedMaskName!r}; expected 'SAT'."
        planes = {
            "negativeVarianceMaskName": [self.negativeVarianceMaskName],
            "suspectMaskName": [self.suspectMaskName],
            "itlDipMaskPlanes": list(self.itlDipMaskPlanes),
            "maskListToInterpolate": list(self.maskListToInterpolate),
            "crosstalk": [self.crosstalk.crosstalkMaskPlane],
        }
        for name, used in planes.items():
            if unknown := sorted(set(used) - set(MASK_SCHEMA.names)):
                yield name, f"Unknown mask planes {unknown}; expected some of {list(MASK_SCHEMA.names)}."
        if self.doFlat and not self.flatUserScale > 0:
            yield "flatUserScale", f"flatUserScale={self.flatUserScale}; expected a positive number."
