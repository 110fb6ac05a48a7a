# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Matching sources to references, and the correction fitted to them."""

from __future__ import annotations

import numpy as np
import pytest
from lsst.ra.pipe.algorithms.calibration import AstrometrySettings, PlanePositions
from star_fields import (
    CENTRAL,
    OUTER,
    Field,
    corrected,
    grid_error,
    header_projection,
    make_field,
    solve,
    true_projection,
)


def purity(field: Field, source_index: np.ndarray, reference_index: np.ndarray) -> float:
    """Fraction of matches that are true."""
    return float(np.mean(field.true_match[reference_index] == source_index))


@pytest.mark.parametrize(
    ("field", "limit"),
    [
        ({}, 2.0),
        ({"n_stars": 12000, "n_references": 1200}, 1.5),
        ({"n_stars": 60, "n_references": 8}, 14.0),
        ({"fwhm": 10.0}, 3.0),
        ({"kept": slice(0, 2048)}, 5.0),
        ({"n_false": 2500}, 2.0),
        ({"n_stars": 300, "n_references": 30, "n_false": 2500}, 6.0),
        ({"brightest": False}, 6.0),
        ({"n_stars": 12000, "n_references": 1200, "brightest": False}, 3.0),
        ({"n_stars": 60, "n_references": 8, "n_false": 60}, 14.0),
    ],
    ids=[
        "normal",
        "crowded",
        "sparse",
        "bad seeing",
        "half the detector",
        "half are no stars",
        "most are no stars",
        "references of any brightness",
        "crowded, references of any brightness",
        "sparse, half are no stars",
    ],
)
@pytest.mark.parametrize(("shift", "rotation"), [(30.0, 0.5), (30.0, -0.5), (0.0, 0.0)])
def test_positions_are_true_after_the_fit(
    field: dict[str, object], limit: float, shift: float, rotation: float
) -> None:
    """On an outer detector, which a wrong rotation of the boresight moves as well."""
    drawn = make_field(1, **field)  # type: ignore[arg-type]
    header = header_projection(OUTER, shift, rotation)
    solution, detector = solve(drawn, header)
    assert solution.status == "ok"
    assert purity(drawn, solution.source_index[solution.used], solution.reference_index[solution.used]) > 0.99
    error = grid_error(corrected(header, solution, detector), true_projection(OUTER))
    assert error < limit
    assert error < 3.0e3 * solution.fit_error


def test_shift_and_rotation_are_fitted_minus_header() -> None:
    """The header is 30 arcsec off towards a position angle of 70 degrees, and turned by half a degree."""
    solution, _ = solve(make_field(2, detector=CENTRAL), header_projection(CENTRAL, 30.0, 0.5))
    angle = np.radians(70.0)
    assert solution.shift_ra == pytest.approx(-30.0 * np.sin(angle), abs=0.05)
    assert solution.shift_dec == pytest.approx(-30.0 * np.cos(angle), abs=0.05)
    assert solution.rotation == pytest.approx(-0.5, abs=1e-4)


def test_a_similarity_keeps_the_distortion_of_the_camera() -> None:
    """Without noise, eight stars give the whole detector within 1 mas though it moved by 80 arcsec."""
    field = make_field(3, n_stars=60, n_references=8)
    true, header = true_projection(OUTER), header_projection(OUTER, 30.0, -0.5)
    measured = field.true_match >= 0
    position = true.pixel_to_sky(x=field.x[field.true_match], y=field.y[field.true_match])
    field.ref_ra[measured] = position.ra.deg[measured]
    field.ref_dec[measured] = position.dec.deg[measured]
    solution, detector = solve(field, header)
    assert solution.n_used < AstrometrySettings().min_affine
    assert np.hypot(solution.shift_ra, solution.shift_dec) > 50.0
    assert grid_error(corrected(header, solution, detector), true) < 1.0


def test_wrong_pairs_among_few_stars_are_left_out() -> None:
    """Two of eight references are off by 0.3 arcsec, as blends are."""
    field = make_field(3, n_stars=60, n_references=8)
    wrong = np.flatnonzero(field.true_match >= 0)[:2]
    field.ref_dec[wrong] += 0.3 / 3600.0
    header = header_projection(OUTER, 30.0, 0.5)
    solution, detector = solve(field, header)
    assert not np.isin(solution.reference_index[solution.used], wrong).any()
    assert grid_error(corrected(header, solution, detector), true_projection(OUTER)) < 20.0


def test_residuals_are_measured_minus_reference_along_the_detector() -> None:
    """A star moved by a pixel along x, or two along y, shows that with its sign."""
    field = make_field(4)
    matched = field.true_match[field.true_match >= 0]
    first, second = matched[np.argsort(field.error[matched])[:2]]
    field.x[first] += 1.0
    field.y[second] -= 2.0
    solution, detector = solve(field, header_projection(OUTER, 30.0, 0.5))
    scale = detector.pixel_scale
    for source, expected in ((first, (scale, 0.0)), (second, (0.0, -2.0 * scale))):
        (row,) = np.flatnonzero(solution.source_index == source)
        assert not solution.used[row]
        found = (solution.residual_x[row], solution.residual_y[row])
        assert found == pytest.approx(expected, abs=0.03)
    used = solution.used
    assert np.hypot(solution.residual_x, solution.residual_y)[used].mean() == pytest.approx(
        solution.offset_mean, rel=0.05
    )
    assert solution.offset_std < solution.offset_mean < 0.02


def test_second_order_is_fitted_where_stars_ask_for_it() -> None:
    """References on a sky that is bent by 100 mas, and on one that is not."""
    field, flat = make_field(5), make_field(5)
    bend = np.square((field.ref_ra - np.median(field.ref_ra)) * 3600.0 / 500.0)
    field.ref_dec = field.ref_dec + 0.1 / 3600.0 * bend
    header = header_projection(OUTER, 30.0, 0.5)
    curved, _ = solve(field, header)
    assert curved.correction.coefficients.shape == (2, 6)
    assert curved.offset_mean < 0.012
    assert solve(flat, header)[0].correction.coefficients.shape == (2, 3)


@pytest.mark.parametrize(
    "field",
    [
        {},
        {"n_stars": 12000, "n_references": 1200},
        {"n_stars": 60, "n_references": 12},
        {"n_stars": 60, "n_references": 12, "n_false": 500},
        {"kept": slice(0, 2048)},
    ],
    ids=["normal", "crowded", "sparse", "mostly no stars", "half the detector"],
)
def test_the_catalogue_of_another_field_is_refused(field: dict[str, object]) -> None:
    """No match is found, and the correction is the identity."""
    for seed in range(5):
        drawn, other = make_field(seed, **field), make_field(seed + 100, **field)  # type: ignore[arg-type]
        drawn.ref_ra, drawn.ref_dec, drawn.ref_mag = other.ref_ra, other.ref_dec, other.ref_mag
        drawn.ref_error = other.ref_error
        header = header_projection(OUTER, 30.0, 0.5)
        solution, detector = solve(drawn, header)
        assert solution.status == "no match"
        assert solution.source_index.size == solution.n_used == 0
        assert np.isnan([solution.shift_ra, solution.rotation, solution.offset_mean]).all()
        assert grid_error(corrected(header, solution, detector), header) < 1e-3


def test_blended_pieces_of_stars_are_no_match() -> None:
    """A hundred sources around one star agree on a shift with each reference, and mean nothing."""
    field, other = make_field(6, n_stars=60, n_references=12), make_field(106, n_stars=60, n_references=12)
    rng = np.random.default_rng(6)
    field.x = np.r_[field.x, 2000.0 + rng.normal(0.0, 8.0, 100)]
    field.y = np.r_[field.y, 2000.0 + rng.normal(0.0, 8.0, 100)]
    field.error = np.r_[field.error, np.full(100, 0.02)]
    field.mag = np.r_[field.mag, np.full(100, 17.0)]
    field.usable = np.ones(field.x.size, dtype=bool)
    field.ref_ra, field.ref_dec, field.ref_mag = other.ref_ra, other.ref_dec, other.ref_mag
    field.ref_error = other.ref_error
    assert solve(field, header_projection(OUTER, 30.0, 0.5))[0].status == "no match"


def test_a_pointing_beyond_the_search_is_refused() -> None:
    """The match lies 250 arcsec away; a wider search finds it."""
    field, header = make_field(7), header_projection(CENTRAL, 250.0, 0.0)
    field = make_field(7, detector=CENTRAL)
    assert solve(field, header)[0].status == "no match"
    wide = solve(field, header, settings=AstrometrySettings(max_shift=300.0))[0]
    assert wide.status == "ok"
    assert np.hypot(wide.shift_ra, wide.shift_dec) == pytest.approx(250.0, abs=0.1)


@pytest.mark.parametrize(
    ("n_sources", "n_references", "status"),
    [
        (2000, 0, "no references"),
        (2000, 2, "few references"),
        (2, 500, "few sources"),
        (0, 500, "few sources"),
        (0, 0, "no references"),
    ],
)
def test_what_is_missing_is_named(n_sources: int, n_references: int, status: str) -> None:
    """Too few of either give a reason and no exception."""
    field = make_field(8)
    field.usable[n_sources:] = False
    on_detector = np.flatnonzero(field.true_match >= 0)[:n_references]
    for name in ("ref_ra", "ref_dec", "ref_mag", "ref_error", "true_match"):
        setattr(field, name, getattr(field, name)[on_detector])
    solution, _ = solve(field, header_projection(OUTER, 30.0, 0.5))
    assert solution.status == status
    assert solution.n_references in (0, n_references, *range(150, 260))


def test_unknown_values_are_no_obstacle() -> None:
    """NaN positions are left out; NaN errors and magnitudes count as unknown."""
    field = make_field(9)
    field.x[::7] = np.nan
    field.error[::5] = np.nan
    field.ref_ra[::9] = np.nan
    field.ref_mag[::3] = np.nan
    field.ref_error[:] = np.nan
    header = header_projection(OUTER, 30.0, 0.5)
    solution, detector = solve(field, header)
    assert solution.status == "ok"
    assert grid_error(corrected(header, solution, detector), true_projection(OUTER)) < 3.0


def test_sources_not_usable_are_matched_but_not_used() -> None:
    """Saturated stars have a reference as well; the fit must not see them."""
    field = make_field(10)
    matched = field.true_match[field.true_match >= 0]
    field.usable[matched[::2]] = False
    field.x[matched[::2]] += 1.0
    header = header_projection(OUTER, 30.0, 0.5)
    solution, detector = solve(field, header)
    assert set(matched[::2]) <= set(solution.source_index)
    assert not np.isin(solution.source_index[solution.used], matched[::2]).any()
    assert grid_error(corrected(header, solution, detector), true_projection(OUTER)) < 3.0


def test_positions_of_different_lengths_are_an_error() -> None:
    """The message has the lengths."""
    with pytest.raises(ValueError, match=r"'eta': \(3,\)"):
        PlanePositions(np.zeros(4), np.zeros(3), np.zeros(4), np.zeros(4))
