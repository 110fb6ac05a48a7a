# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""One simulated CCD: what its pixels and amplifiers are like."""

from __future__ import annotations

__all__ = ("Ccd", "build_ccd")

import dataclasses

import numpy as np

from lsst.images.cameras import Amplifier, AmplifierCalibrations, AmplifierRawGeometry, Detector

from ._config import SimulationConfig
from ._optics import shadow
from ._random import Stream, random_stream

_FULL_WELL_MARGIN = 1.05
"""Full well over the saturation level that ISR knows, so that every pixel at
full well is above that level in spite of the read noise."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ccd:
    """Properties of a CCD; arrays by amplifier are in the order of the HDUs,
    pixel arrays have the assembled shape ``(ny, nx)`` and are float32.
    """

    detector: Detector
    """Geometry."""
    gain: np.ndarray
    """Gains, electron/adu."""
    read_noise: np.ndarray
    """Read noise, electron."""
    saturation: np.ndarray
    """Level at which ISR must call a pixel saturated, electron."""
    full_well: np.ndarray
    """Charge at which a pixel bleeds, electron; infinite without
    saturation."""
    offset: np.ndarray
    """Bias level, adu."""
    crosstalk: np.ndarray
    """Coefficients ``[target, source]``; the source's electrons times this
    appear in the target, in electrons."""
    bias: np.ndarray
    """Bias pattern, electron."""
    dark: np.ndarray
    """Dark current, electron/s."""
    flat: np.ndarray
    """Relative response, mean 1."""
    defects: tuple[tuple[int, int, int, int], ...]
    """Boxes (x0, y0, width, height) of bad pixels, assembled."""
    dead: tuple[str, ...]
    """Names of the amplifiers that read no signal."""

    @property
    def shape(self) -> tuple[int, int]:
        """Assembled shape ``(ny, nx)``, pixels."""
        ny, nx = self.detector.bbox.shape
        return ny, nx

    @property
    def amplifier_names(self) -> tuple[str, ...]:
        """Names of the amplifiers, in the order of the HDUs."""
        return tuple(amplifier.name for amplifier in self.detector.amplifiers)

    @property
    def is_defect(self) -> np.ndarray:
        """Which pixels are bad, boolean of shape ``(ny, nx)``."""
        bad = np.zeros(self.shape, bool)
        for x, y, width, height in self.defects:
            bad[y : y + height, x : x + width] = True
        return bad

    @property
    def is_dead(self) -> np.ndarray:
        """Which pixels are read by dead amplifiers, boolean of shape ``(ny,
        nx)``.
        """
        dead = np.zeros(self.shape, bool)
        for amplifier in self.detector.amplifiers:
            if amplifier.name in self.dead:
                dead[amplifier.bbox.slice_within(self.detector.bbox)] = True
        return dead


def raw_geometry(amplifier: Amplifier) -> AmplifierRawGeometry:
    """Return where an amplifier's pixels are in its own raw image.

    Parameters
    ----------
    amplifier
        Amplifier of a camera.

    Returns
    -------
    geometry
        Boxes in the amplifier's raw array.

    Raises
    ------
    ValueError
        Raised if the camera does not give it.
    """
    if amplifier.unassembled_raw_geometry is None:
        raise ValueError(f"amplifier {amplifier.name} has no unassembled raw geometry")
    return amplifier.unassembled_raw_geometry


def build_ccd(config: SimulationConfig, detector: Detector) -> Ccd:
    """Make up the imperfections of a CCD.

    Parameters
    ----------
    config
        Gives the seed and says which imperfections there are.
    detector
        Detector of the camera, which gives nominal gains, read noise and
        saturation.

    Returns
    -------
    ccd
        Depends on the seed and the detector number only.

    Raises
    ------
    ValueError
        Raised if the detector lacks an amplifier that is to be dead.
    """
    names = [amplifier.name for amplifier in detector.amplifiers]
    if unknown := sorted(set(config.dead_amplifiers) - set(names)):
        raise ValueError(f"{detector.name} has no amplifiers {unknown} to be dead; it has {names}")
    nominal = [_nominal(amplifier) for amplifier in detector.amplifiers]
    n = len(nominal)
    rng = random_stream(config.seed, Stream.CAMERA, detector.id)
    saturation = np.array([c.saturation for c in nominal])
    defects, hot, response = _draw_defects(config, detector)
    bad = np.array(defects, int).reshape(-1, 4)
    dark = _dark(config, detector)
    flat = _flat(config, detector)
    for (x, y, width, height), extra, factor in zip(bad, hot, response, strict=True):
        box = np.s_[y : y + height, x : x + width]
        dark[box] += extra
        flat[box] *= factor
    if config.shadow is not None and config.shadow_in_flat:
        flat *= shadow(config, np.arange(flat.shape[1]), flat.shape[1]).astype(np.float32)
    return Ccd(
        detector=detector,
        gain=np.array([c.gain for c in nominal]) * (1.0 + config.gain_scatter * rng.standard_normal(n)),
        read_noise=np.array([c.read_noise for c in nominal]),
        saturation=saturation,
        full_well=saturation * _FULL_WELL_MARGIN if config.saturation else np.full(n, np.inf),
        offset=24_000.0 + 600.0 * rng.standard_normal(n),
        crosstalk=_crosstalk(config, detector.id, n),
        bias=_bias(config, detector),
        dark=dark,
        flat=flat,
        defects=(*defects, *_dead_boxes(config, detector)),
        dead=config.dead_amplifiers,
    )


def _dead_boxes(config: SimulationConfig, detector: Detector) -> list[tuple[int, int, int, int]]:
    """Return the boxes of the dead amplifiers that are known."""
    if not config.dead_amplifiers_known:
        return []
    boxes = [amplifier.bbox for amplifier in detector.amplifiers if amplifier.name in config.dead_amplifiers]
    return [(box.x.start, box.y.start, box.x.size, box.y.size) for box in boxes]


def _nominal(amplifier: Amplifier) -> AmplifierCalibrations:
    if amplifier.nominal_calibrations is None:
        raise ValueError(f"amplifier {amplifier.name} has no nominal gain, read noise and saturation")
    return amplifier.nominal_calibrations


def _crosstalk(config: SimulationConfig, detector: int, n: int) -> np.ndarray:
    """Draw coefficients: 2e-4 between neighbours, as measured on LSSTCam
    (Snyder et al. 2021, JATIS 7, 048002), small otherwise.
    """
    if not config.crosstalk:
        return np.zeros((n, n))
    coefficients = random_stream(config.seed, Stream.CROSSTALK, detector).normal(0.0, 2e-5, (n, n))
    index = np.arange(n)
    coefficients[np.abs(index[:, None] - index) == 1] += 2e-4
    np.fill_diagonal(coefficients, 0.0)
    return coefficients


def _bias(config: SimulationConfig, detector: Detector) -> np.ndarray:
    """Waves and a fixed pattern, electron."""
    ny, nx = detector.bbox.shape
    if not config.bias:
        return np.zeros((ny, nx), np.float32)
    rng = random_stream(config.seed, Stream.BIAS, detector.id)
    phase = rng.uniform(0.0, 2.0 * np.pi, 2)
    bias = rng.standard_normal((ny, nx), dtype=np.float32)
    bias *= np.float32(0.5)
    bias += (3.0 * np.sin(np.arange(nx) / 37.0 + phase[0])).astype(np.float32)
    bias += (1.5 * np.cos(np.arange(ny) / 211.0 + phase[1])).astype(np.float32)[:, None]
    return bias


def _dark(config: SimulationConfig, detector: Detector) -> np.ndarray:
    """Smooth dark current with some warm pixels, electron/s."""
    ny, nx = detector.bbox.shape
    if not config.dark:
        return np.zeros((ny, nx), np.float32)
    rng = random_stream(config.seed, Stream.DARK, detector.id)
    smooth = 0.03 + 0.01 * np.sin(np.arange(ny) / 300.0 + rng.uniform(0.0, 2.0 * np.pi))
    dark = np.repeat(smooth.astype(np.float32)[:, None], nx, axis=1)
    warm = rng.integers(0, ny, 400), rng.integers(0, nx, 400)
    dark[warm] += rng.exponential(2.0, 400).astype(np.float32)
    return dark


def _flat(config: SimulationConfig, detector: Detector) -> np.ndarray:
    """Response: amplifiers, a slow fall-off, pixels, and dust, mean 1."""
    ny, nx = detector.bbox.shape
    if not config.flat:
        return np.ones((ny, nx), np.float32)
    rng = random_stream(config.seed, Stream.FLAT, detector.id)
    flat = rng.standard_normal((ny, nx), dtype=np.float32)
    flat *= np.float32(0.003)
    flat += (1.0 - 0.04 * ((np.arange(nx) - nx / 2) / nx) ** 2).astype(np.float32)
    flat -= (0.04 * ((np.arange(ny) - ny / 2) / ny) ** 2).astype(np.float32)[:, None]
    for amplifier in detector.amplifiers:
        flat[
            amplifier.bbox.y.slice_within(detector.bbox.y), amplifier.bbox.x.slice_within(detector.bbox.x)
        ] *= np.float32(rng.normal(1.0, 0.003))
    for _ in range(12):
        cy, cx, radius = rng.uniform(0, ny), rng.uniform(0, nx), rng.uniform(20.0, 60.0)
        half = int(2 * radius)
        y = np.arange(max(int(cy) - half, 0), min(int(cy) + half, ny))
        x = np.arange(max(int(cx) - half, 0), min(int(cx) + half, nx))
        distance = np.hypot(y[:, None] - cy, x - cx)
        ring = 1.0 - 0.02 * np.exp(-(((distance - radius) / (0.25 * radius)) ** 2))
        flat[y[0] : y[-1] + 1, x[0] : x[-1] + 1] *= ring.astype(np.float32)
    flat /= flat.mean(dtype=np.float64)
    return flat


def _draw_defects(
    config: SimulationConfig, detector: Detector
) -> tuple[tuple[tuple[int, int, int, int], ...], np.ndarray, np.ndarray]:
    """Return boxes of bad pixels, their extra dark current and response."""
    if not config.defects:
        return (), np.zeros(0), np.zeros(0)
    ny, nx = detector.bbox.shape
    rng = random_stream(config.seed, Stream.DEFECTS, detector.id)
    boxes = [(int(rng.integers(0, nx)), int(rng.integers(0, ny)), 1, 1) for _ in range(200)]
    for _ in range(6):
        height = int(rng.integers(ny // 14, ny // 3))
        boxes.append((int(rng.integers(0, nx)), int(rng.integers(0, ny - height)), 1, height))
    boxes.append((int(rng.integers(0, nx - 12)), int(rng.integers(0, ny - 9)), 12, 9))
    hot = rng.random(len(boxes)) < 0.5
    return (
        tuple(boxes),
        np.where(hot, 20.0 + rng.exponential(100.0, len(boxes)), 0.0),
        np.where(hot, 1.0, rng.uniform(0.1, 0.6, len(boxes))),
    )
