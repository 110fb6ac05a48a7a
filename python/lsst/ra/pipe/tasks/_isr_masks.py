# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""The steps of ISR that only change the mask of the assembled image."""

from __future__ import annotations

__all__ = ("mask_bleeds", "mask_defects")

import logging
from typing import Any

import numpy as np
import numpy.typing as npt

from lsst.images.cameras import Detector

from ..algorithms import plane_bits
from ..algorithms.isr import (
    AmplifierLayout,
    ItlDipSettings,
    find_footprints,
    mask_e2v_edge_bleeds,
    mask_itl_dips,
    mask_itl_edge_bleed,
    mask_itl_saturation_sag,
    widen_saturation_trails,
)
from ..camera.calibrations import Defects
from ._isr_amplifiers import AmplifierStage
from ._isr_config import FirstLookIsrConfig

type Log = logging.Logger | logging.LoggerAdapter[Any]


def mask_bleeds(
    stage: AmplifierStage,
    *,
    detector: Detector,
    image: npt.NDArray[np.float32],
    mask: npt.NDArray[np.uint16],
    config: FirstLookIsrConfig,
    log: Log,
) -> None:
    """Mask what very bright stars do to E2V and ITL detectors.

    Parameters
    ----------
    stage
        What is known of the amplifiers.
    detector
        The detector.
    image
        Assembled image of shape ``(ny, nx)``, before bias subtraction.
    mask
        Mask of the same shape, to which bits are added.
    config
        Settings of the task.
    log
        Logger.
    """
    saturated = plane_bits("SAT")
    if config.doE2VEdgeBleedMask and detector.physical_type == "E2V":
        names = mask_e2v_edge_bleeds(
            mask,
            layout=stage.layout,
            bit=saturated,
            min_area=config.e2vEdgeBleedSatMinArea,
            max_area=config.e2vEdgeBleedSatMaxArea,
            height=config.e2vEdgeBleedYMax,
        )
        if names:
            log.info("Masked edge bleeds of amplifiers %s.", ", ".join(names))
    if config.doITLDipMask:
        trails = mask_itl_dips(
            mask,
            image=image,
            settings=_dip_settings(config, detector),
            saturated_bit=saturated,
            bits=plane_bits(*config.itlDipMaskPlanes),
        )
        if trails:
            log.info("Masked dips in columns %s.", trails)
    if detector.physical_type == "ITL" and (config.doITLEdgeBleedMask or config.doITLSatSagMask):
        _mask_itl_cores(stage, image=image, mask=mask, config=config, log=log)


def _dip_settings(config: FirstLookIsrConfig, detector: Detector) -> ItlDipSettings:
    """Return the detector's model of dips."""
    rule = config.overscanCamera.for_detector(detector)
    return ItlDipSettings(
        min_height=rule.itlDipMinHeight,
        min_width=rule.itlDipMinWidth,
        max_width=rule.itlDipMaxWidth,
        width_scale=rule.itlDipWidthScale,
        background_fraction=rule.itlDipBackgroundFraction,
        min_noise_fraction=rule.itlDipMinBackgroundNoiseFraction,
        max_columns=rule.itlDipMaxColsPerImage,
    )


def _mask_itl_cores(
    stage: AmplifierStage,
    *,
    image: npt.NDArray[np.float32],
    mask: npt.NDArray[np.uint16],
    config: FirstLookIsrConfig,
    log: Log,
) -> None:
    """Mask edge bleeds and sagging columns of an ITL detector."""
    saturated = plane_bits("SAT")
    levels = [
        stage.metadata[f"LSST ISR SATURATION LEVEL {name}"]
        for name, bad in zip(stage.layout.names, stage.bad, strict=True)
        if not bad
    ]
    limits = {"min_area": config.itlEdgeBleedSatMinArea, "max_area": config.itlEdgeBleedSatMaxArea}
    for footprint in find_footprints(mask, bit=saturated):
        if not limits["min_area"] <= footprint.area < limits["max_area"]:
            continue
        if config.doITLEdgeBleedMask:
            names = mask_itl_edge_bleed(
                mask,
                image=image,
                layout=stage.layout,
                footprint=footprint,
                bit=saturated,
                saturation=float(np.nanmedian(levels)),
                threshold=config.itlEdgeBleedThreshold,
                decay=config.itlEdgeBleedModelConstant,
                **limits,
            )
            if names:
                log.info("Masked edge bleeds of amplifiers %s.", ", ".join(names))
        if config.doITLSatSagMask:
            mask_itl_saturation_sag(mask, footprint=footprint, bit=saturated)


def mask_defects(
    defects: Defects | None,
    *,
    layout: AmplifierLayout,
    detector: Detector,
    mask: npt.NDArray[np.uint16],
    config: FirstLookIsrConfig,
) -> None:
    """Mask defects and the amplifiers that the config calls bad; widen trails.

    Parameters
    ----------
    defects
        Defects.
    layout
        Geometry of the amplifiers.
    detector
        The detector.
    mask
        Mask of shape ``(ny, nx)``, to which bits are added.
    config
        Settings of the task.
    """
    if config.doDefect and defects is not None:
        bad = np.uint16(plane_bits("BAD"))
        origin, (ny, nx) = detector.bbox.start, mask.shape
        for x, y, width, height in defects.boxes.tolist():
            rows = slice(max(y - origin.y, 0), min(max(y - origin.y + height, 0), ny))
            columns = slice(max(x - origin.x, 0), min(max(x - origin.x + width, 0), nx))
            mask[rows, columns] |= bad
        for index, name in enumerate(layout.names):
            if f"{detector.name}_{name}" in config.badAmps:
                mask[layout.assembled_slices(index)] |= bad
    if config.doWidenSaturationTrails:
        widen_saturation_trails(mask, bit=plane_bits("SAT"))
