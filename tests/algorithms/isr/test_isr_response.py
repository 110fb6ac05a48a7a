# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.
from __future__ import annotations

from typing import Any

import isr_twins
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lsst.ra.pipe.algorithms.isr import (
    CrosstalkTerms,
    DeferredChargeError,
    DeferredChargeTerms,
    LinearityError,
    LinearityTerms,
    assemble,
)

LAYOUT = isr_twins.small_layout(ny=16, nx=200)


def corrected(data: np.ndarray, **steps: Any) -> np.ndarray:
    """Run steps on data sections of shape (4, ny, nx), and take the assembly apart."""
    raws = np.zeros((4, *LAYOUT.raw_shape), np.float32)
    ny, nx = LAYOUT.data_shape
    raws[:, :ny, LAYOUT.data_x0 : LAYOUT.data_x0 + nx] = data
    image, mask = np.empty(LAYOUT.shape, np.float32), np.zeros(LAYOUT.shape, np.uint16)
    bits = {"saturated_bit": 1, "suspect_bit": 2, "crosstalk_bit": 4}
    all_steps = isr_twins.no_steps(LAYOUT, **steps)
    assemble(list(raws), layout=LAYOUT, steps=all_steps, image=image, mask=mask, **bits)
    return np.stack(
        [
            image[LAYOUT.assembled_slices(a)][
                :: -1 if LAYOUT.flip_y[a] else 1, :: -1 if LAYOUT.flip_x[a] else 1
            ]
            for a in range(4)
        ]
    )


def field(seed: int = 0, peak: float = 1e5) -> np.ndarray:
    """Sky with some very bright and some negative pixels."""
    rng = np.random.default_rng(seed)
    data = rng.normal(900.0, 30.0, (4, *LAYOUT.data_shape))
    data[rng.random(data.shape) < 0.02] = rng.uniform(-50.0, peak)
    return data.astype(np.float32)


def test_crosstalk_is_the_sum_over_sources() -> None:
    """Linear and quadratic terms of all other amplifiers are subtracted."""
    rng = np.random.default_rng(1)
    linear, quadratic = rng.normal(0, 1e-3, (4, 4)), rng.normal(0, 1e-9, (4, 4))
    data = field()
    found = corrected(data, crosstalk=CrosstalkTerms.build(linear, quadratic))
    expected = data - isr_twins.crosstalk(data.astype(float), linear, quadratic)
    np.testing.assert_allclose(found, expected, rtol=2e-6, atol=1e-2)


def test_unusable_crosstalk_coefficients_are_zero() -> None:
    """Coefficients that are NaN, invalid or of a bad amplifier do nothing."""
    linear = np.full((4, 4), 1e-3)
    linear[0, 1] = np.nan
    valid, bad = np.ones((4, 4), bool), np.array([False, False, False, True])
    valid[1, 2] = False
    terms = CrosstalkTerms.build(linear, np.ones((4, 4)), valid=valid, bad=bad)
    unused = [(0, 1), (1, 2), *((3, i) for i in range(4)), *((i, 3) for i in range(4))]
    assert all(terms.linear[i] == 0.0 and terms.quadratic[i] == 0.0 for i in unused)
    assert np.count_nonzero(terms.linear) == 16 - 9


@settings(deadline=None)
@given(st.lists(st.floats(0.5, 2.0, width=32), min_size=4, max_size=4))
def test_crosstalk_of_another_unit_scales(gains: list[float]) -> None:
    """Coefficients in adu for an image in electron give the same physics."""
    rng = np.random.default_rng(2)
    linear, quadratic, scale = rng.normal(0, 1e-3, (4, 4)), rng.normal(0, 1e-9, (4, 4)), np.array(gains)
    adu = field(2).astype(float)
    terms = CrosstalkTerms.build(linear, quadratic, unit_scale=scale)
    electron = adu * scale[:, None, None]
    found = isr_twins.crosstalk(electron, terms.linear, terms.quadratic) / scale[:, None, None]
    np.testing.assert_allclose(found, isr_twins.crosstalk(adu, linear, quadratic), rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("n_nodes", [5, 12, 60])
def test_spline_linearity_is_an_akima_spline(n_nodes: int) -> None:
    """The spline is subtracted, constant beyond its ends, scaled by the gain."""
    rng = np.random.default_rng(n_nodes)
    nodes = np.concatenate([[0.0], np.sort(rng.uniform(10.0, 9e4, n_nodes - 2)), [1e5]])
    values = rng.normal(0.0, 30.0, (4, n_nodes))
    values[:, 0] = 0.0
    gains = np.array([1.0, 1.3, 1.5, np.nan])
    terms = LinearityTerms.build(["Spline"] * 4, [np.concatenate([nodes, v]) for v in values], gains=gains)
    data = field(3, peak=2e5)
    found = corrected(data, linearity=terms)
    for a in range(3):
        expected = isr_twins.spline_corrected(data[a].astype(float), gains[a] * nodes, gains[a] * values[a])
        np.testing.assert_allclose(found[a], expected, rtol=1e-6, atol=5e-3)
    np.testing.assert_array_equal(found[3], data[3])


def test_a_spline_begins_at_zero() -> None:
    """A spline without a node at zero gets one, and no offset."""
    values = np.array([100.0, 1000.0, 1e4, 5e4, 1e5, 3.0, 5.0, 9.0, 2.0, 3.0])
    found = corrected(field(4), linearity=LinearityTerms.build(["Spline"] * 4, [values] * 4))
    nodes, corrections = np.insert(values[:5], 0, 0.0), np.insert(values[5:] - 3.0, 0, 0.0)
    expected = isr_twins.spline_corrected(field(4).astype(float), nodes, corrections)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=5e-3)


def test_other_linearity_kinds() -> None:
    """Polynomials begin at the square; tables are indexed by the value."""
    data = np.abs(field(5, peak=4000.0))
    table = np.sin(np.arange(3000) / 50.0)[np.newaxis]
    terms = LinearityTerms.build(
        ["Polynomial", "Squared", "LookupTable", "None"],
        [np.array([1e-6, -1e-11]), np.array([2e-6]), np.array([0.0, 0.5]), np.empty(0)],
        table=table,
    )
    found, wide = corrected(data, linearity=terms), data.astype(float)
    np.testing.assert_allclose(found[0], wide[0] + 1e-6 * wide[0] ** 2 - 1e-11 * wide[0] ** 3, rtol=1e-6)
    np.testing.assert_allclose(found[1], wide[1] * (1 + 2e-6 * wide[1]), rtol=1e-6)
    index = np.clip((wide[2] + 0.5).astype(int), 0, 2999)
    np.testing.assert_allclose(found[2], wide[2] + table[0, index], rtol=1e-6)
    np.testing.assert_array_equal(found[3], data[3])


def test_double_splines_are_applied_one_after_the_other() -> None:
    """The second spline is one of the values that the first has corrected."""
    first = np.array([0.0, 1e3, 1e4, 5e4, 1e5]), np.array([0.0, 8.0, 20.0, -30.0, 5.0])
    second = np.array([0.0, 500.0, 2e3, 4e4, 2e5]), np.array([0.0, -4.0, 3.0, 9.0, 1.0])
    values = np.concatenate([[5.0, 5.0], *first, *second])
    found = corrected(field(6), linearity=LinearityTerms.build(["DoubleSpline"] * 4, [values] * 4))
    expected = isr_twins.spline_corrected(isr_twins.spline_corrected(field(6).astype(float), *first), *second)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=2e-2)


def test_bad_linearity_is_not_ignored() -> None:
    """NaN nodes make NaN pixels; nodes out of order and unknown kinds are errors."""
    spoilt = LinearityTerms.build(["Spline"] * 4, [np.array([0.0, np.nan, 2.0, 3.0, 4.0] * 2)] * 4)
    assert np.isnan(corrected(field(), linearity=spoilt)).all()
    with pytest.raises(LinearityError, match="must ascend"):
        LinearityTerms.build(["Spline"], [np.array([0.0, 5.0, 2.0, 9.0, 10.0, 0.0, 1.0, 1.0, 1.0, 1.0])])
    with pytest.raises(LinearityError, match="'Cubist' is not implemented"):
        LinearityTerms.build(["Cubist"], [np.zeros(4)])


def deferred(kind: str, coefficients: np.ndarray, **changes: Any) -> DeferredChargeTerms:
    """Terms of four amplifiers, of which one does not drift."""
    values: dict[str, Any] = {
        "drift_scale": np.array([6e-5, 2e-5, 0.0, 1e-4]),
        "decay_time": np.array([2.5, 1.5, 2.0, 3.0]),
        "global_cti": np.full(4, 3e-7),
        "trap_kind": [kind] * 4,
        "trap_size": np.full(4, 25.0),
        "trap_emission": np.array([0.5, 0.8, 1.1, 0.6]),
        "trap_coefficients": [coefficients] * 4,
    }
    return DeferredChargeTerms.build(**(values | changes))


SPLINE = np.array([0.0, 500.0, 5e3, 5e4, 2.0, 6.0, 9.0, 30.0])
CAPTURES: dict[str, tuple[np.ndarray, Any]] = {
    "linear": (np.array([0.02]), lambda v: min(25.0, 0.02 * v)),
    "logistic": (np.array([1e3, 2e-3]), lambda v: 25.0 / (1.0 + np.exp(-2e-3 * (v - 1e3)))),
    "spline": (SPLINE, lambda v: float(np.interp(v, SPLINE[:4], SPLINE[4:]))),
}


@pytest.mark.parametrize("kind", sorted(CAPTURES))
@pytest.mark.parametrize(("n_offset", "n_trap"), [(15, 6), (1, 1), (4, 9), (17, 2)])
def test_deferred_charge_follows_the_equations(kind: str, n_offset: int, n_trap: int) -> None:
    """Drift, then traps, with the given number of previous pixels."""
    coefficients, capture = CAPTURES[kind]
    terms = deferred(kind, coefficients, n_offset=n_offset, n_trap=n_trap)
    data = field(7)
    found = corrected(data, deferred_charge=terms)
    for a, (scale, time, emission) in enumerate(
        zip((6e-5, 2e-5, 0.0, 1e-4), (2.5, 1.5, 2.0, 3.0), (0.5, 0.8, 1.1, 0.6), strict=True)
    ):
        for y in (0, 7):
            row = data[a, y].astype(float)
            row = isr_twins.drift_corrected(row, scale=scale, decay_time=time, n_offset=n_offset)
            row = isr_twins.trap_corrected(
                row, capture=capture, emission_time=emission, cti=3e-7, n_trap=n_trap, empty=capture(0.0)
            )
            np.testing.assert_allclose(found[a, y], row, rtol=1e-6, atol=2e-3)


@settings(deadline=None)
@given(st.floats(0.0, 1e5, width=32))
def test_deferred_charge_keeps_a_constant_row_constant(level: float) -> None:
    """Far from the first pixels, what comes out equals what went in."""
    data = np.full((4, *LAYOUT.data_shape), level, np.float32)
    found = corrected(data, deferred_charge=deferred("linear", np.array([0.02])))
    np.testing.assert_array_equal(found[:, :, 20:], found[:, :, 20:21].repeat(180, axis=2))


def test_bad_deferred_charge_is_refused() -> None:
    """Unknown traps, times and tables out of order are errors."""
    with pytest.raises(DeferredChargeError, match="Unknown kinds of traps"):
        deferred("cubic", np.array([0.02]))
    with pytest.raises(DeferredChargeError, match="Emission times must be positive"):
        deferred("linear", np.array([0.02]), trap_emission=np.zeros(4))
    with pytest.raises(DeferredChargeError, match="must ascend"):
        deferred("spline", np.array([0.0, 9.0, 5.0, 1.0, 2.0, 3.0]))
