# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Trends of a night."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from lsst.ra.pipe.tasks.plots import NIGHT_METRICS, PlotTitle, make_night_table, plot_night
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from night_exposures import BLOCKS, CLOUD, N_EXPOSURES, WITHOUT_PSF, make_night, make_summary
from plot_inputs import render, texts

FWHM, ELLIPTICITY, SKY, ZERO_POINT, EFFECTIVE_TIME = range(5)
"""Panels from top to bottom."""


def draw(summaries: list[dict[str, Any]]) -> Figure:
    """Draw a night."""
    return plot_night(make_night_table(summaries), title=PlotTitle("LSSTCam 20260220"))


def markers(axes: Axes, *, known: bool = True) -> dict[str, np.ndarray]:
    """Places of the markers by shape: ``(n, 2)``."""
    return {
        str(line.get_marker()): np.column_stack([line.get_xdata(), line.get_ydata()])
        for line in axes.lines
        if (line.get_marker() != "x") is known and len(np.asarray(line.get_xdata()))
    }


def bars(axes: Axes) -> np.ndarray:
    """Ends of the bars: ``(n, 2, 2)``."""
    segments = [
        segment
        for collection in axes.collections
        if isinstance(collection, LineCollection)
        for segment in collection.get_segments()
    ]
    return np.array(segments)


def test_table_is_in_order_with_units() -> None:
    """Whatever the order of the summaries; -1 and None are not known."""
    summaries = make_night()
    summaries[3]["n_psf_stars_median"] = -1
    summaries[4]["band"] = None
    night = make_night_table(reversed(summaries))
    assert list(night["seq_num"]) == list(range(1, N_EXPOSURES + 1))
    assert str(night["psf_fwhm_arcsec_median"].unit) == "arcsec"
    assert math.isnan(night["n_psf_stars_median"][3])
    assert night["band"][4] == ""
    assert {name.removesuffix("_max") for name in night.colnames if name.endswith("_max")} == set(
        NIGHT_METRICS
    )


def test_each_band_has_its_marker() -> None:
    """As many of them as there are exposures with a value."""
    figure = draw(make_night())
    counts = {shape: len(places) for shape, places in markers(figure.axes[FWHM]).items()}
    assert counts == {"^": 10, "v": 16, "s": 12, "*": 11, "p": 10}
    legend = figure.legends[0]
    labels = [text.get_text() for text in legend.get_texts()]
    assert labels == [
        f"{name}: {n}, {zero} mag"
        for (name, zero), (_, n) in zip(
            (("g_6", "32.40"), ("r_57", "32.10"), ("i_39", "31.80"), ("z_20", "31.30"), ("y_10", "30.20")),
            BLOCKS,
            strict=True,
        )
    ]


def test_bars_span_the_detectors() -> None:
    """From the least to the greatest, cut where the panel ends."""
    summaries = make_night()
    axes = draw(summaries).axes[SKY]
    drawn = bars(axes)
    assert len(drawn) == N_EXPOSURES
    first = min(drawn, key=lambda segment: float(segment[0, 0]))
    low, high = summaries[0]["sky_electron_min"], summaries[0]["sky_electron_max"]
    assert first[:, 1] == pytest.approx([low, high])
    bottom, top = axes.get_ylim()
    assert drawn[..., 1].min() >= bottom
    assert drawn[..., 1].max() <= top


def test_exposure_without_a_value_is_a_cross() -> None:
    """In the panels of what was lost, at its time, and nowhere else."""
    summaries = make_night()
    figure = draw(summaries)
    for index in (FWHM, ELLIPTICITY, ZERO_POINT, EFFECTIVE_TIME):
        (places,) = markers(figure.axes[index], known=False).values()
        neighbours = np.sort(np.concatenate(list(markers(figure.axes[SKY]).values()))[:, 0])
        assert places[:, 0] == pytest.approx([neighbours[WITHOUT_PSF - 1]])
    assert markers(figure.axes[SKY], known=False) == {}


def test_cloud_shows_in_the_relative_zero_point() -> None:
    """Other exposures lie at zero, whatever their filter or exposure time."""
    summaries = make_night()
    short = make_summary(N_EXPOSURES + 1, "y")
    short["exposure_time_second"] = 15.0
    short["zero_point_mag_median"] -= 0.75
    axes = draw([*summaries, short]).axes[ZERO_POINT]
    values = {shape: places[:, 1] for shape, places in markers(axes).items()}
    assert sum(values["v"] < -0.15) == len(CLOUD)
    for shape in ("^", "s", "*", "p"):
        assert np.abs(values[shape]).max() < 0.05


def test_times_are_utc() -> None:
    """37 s before TAI; the axis has the date."""
    figure = draw(make_night())
    axes = figure.axes[EFFECTIVE_TIME]
    labels = [text.get_text() for text in axes.get_xticklabels()]
    assert labels[0] == "02:30\n2026-02-21"
    half_past_two = axes.get_xticks()[0]
    first = min(float(places[0, 0]) for places in markers(figure.axes[FWHM]).values())
    # The first exposure began at 02:26:28.8 TAI.
    assert (half_past_two - first) * 3600.0 == pytest.approx(3 * 60 + 31.2 + 37.0, abs=0.1)


@pytest.mark.parametrize(
    "summaries",
    [
        make_night()[:1],
        make_night()[WITHOUT_PSF - 1 : WITHOUT_PSF],
        [{"exposure": 1, "instrument": "LATISS"}],
        [{**make_summary(1, "r"), "begin_mjd_tai": math.nan}],
        [{**make_summary(1, "r"), "sky_electron_median": -3.0}],
        [],
    ],
    ids=["one", "no PSF", "nothing known", "no time", "negative sky", "none"],
)
def test_poor_nights_are_drawn(summaries: list[dict[str, Any]]) -> None:
    """With words where there is no value at all."""
    figure = draw(summaries)
    image = render(figure)
    assert image.shape[1] == 1200
    n_known = sum(len(markers(axes)) for axes in figure.axes)
    n_words = len(
        [1 for text in texts(figure).splitlines() if text in ("not known of any exposure", "no exposures")]
    )
    assert n_known + n_words == 5


def test_panels_say_quantity_and_unit() -> None:
    """On the axis, in words."""
    labels = [axes.get_ylabel().replace("\n", " ") for axes in draw(make_night()).axes]
    assert labels == [
        "PSF FWHM (arcsec)",
        "PSF ellipticity",
        "sky (electron per pixel)",
        "zero point less the filter's median (mag)",
        "effective time (s)",
    ]
