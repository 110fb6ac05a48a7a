# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Raw files through a real Butler."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Iterator

import lsst.ra.pipe.camera._raw as raw_module
import numpy as np
import pytest
from astro_metadata_translator import ObservationInfo
from camera.raws import EXPOSURE, counts, damage, write_raw
from lsst.daf.butler import Butler, Config, DatasetRef, DatasetType, FileDataset
from lsst.images.cameras import Detector
from lsst.ra.pipe.camera import LsstCam, RawFileError, RawFormatter, RawImage, read_raw
from lsst.resources import ResourcePath


@pytest.fixture
def butler(tmp_path: pathlib.Path) -> Iterator[Butler]:
    """Return a repository that knows raws of LSSTCam."""
    config = Config(ResourcePath("resource://lsst.ra.pipe/resources/butler/storage_classes.yaml"))
    root = Butler.makeRepo(str(tmp_path / "repo"), config=config)
    with Butler.from_config(root, writeable=True, run="LSSTCam/raw/all") as butler:
        instrument = LsstCam()
        instrument.register(butler.registry)
        name, dimensions, storage_class = instrument.raw_definition
        butler.registry.registerDatasetType(
            DatasetType(name, dimensions, storage_class, universe=butler.dimensions)
        )
        yield butler


def ingest(butler: Butler, path: pathlib.Path, *, exposure: int, detector: int, day_obs: int) -> DatasetRef:
    """Put a raw file into the repository as it is."""
    instrument = {"instrument": "LSSTCam"}
    butler.registry.syncDimensionData("day_obs", instrument | {"id": day_obs})
    butler.registry.syncDimensionData("group", instrument | {"name": str(exposure)})
    butler.registry.syncDimensionData(
        "exposure",
        instrument
        | {
            "id": exposure,
            "obs_id": f"MC_{exposure}",
            "day_obs": day_obs,
            "group": str(exposure),
            "physical_filter": "unknown",
        },
    )
    data_id = butler.registry.expandDataId(instrument, exposure=exposure, detector=detector)
    ref = DatasetRef(butler.get_dataset_type("raw"), data_id, run="LSSTCam/raw/all")
    formatter = LsstCam().getRawFormatter(data_id)
    butler.ingest(FileDataset(path=str(path), refs=ref, formatter=formatter), transfer="direct")
    return ref


def test_get_gives_pixels_detector_and_observation(butler: Butler, tmp_path: pathlib.Path) -> None:
    """Everything that was written comes back through the Butler."""
    path = write_raw(tmp_path / "raw.fits", detector="R00_SW1")
    ref = ingest(butler, path, exposure=EXPOSURE, detector=192, day_obs=20250415)
    raw = butler.get("raw", instrument="LSSTCam", exposure=EXPOSURE, detector=192)
    assert isinstance(raw, RawImage)
    np.testing.assert_array_equal(raw.amplifiers["C11"], counts(1, (2048, 576)))
    assert raw.detector.name == "R00_SW1"
    assert raw.obs_info.exposure_id == EXPOSURE
    assert butler.get(ref).obs_info == raw.obs_info


def test_real_file_is_read_through_the_butler(butler: Butler, shared: pathlib.Path) -> None:
    """A raw of the real camera, with both components."""
    path = shared / "raw_files" / "30211212000310-R22-S22-det098.fits"
    ref = ingest(butler, path, exposure=3021121200310, detector=98, day_obs=20211212)
    raw = butler.get(ref)
    assert len(raw.amplifiers) == 16
    detector = butler.get(ref.makeComponentRef("detector"))
    assert isinstance(detector, Detector)
    assert detector == raw.detector
    obs_info = butler.get("raw.obs_info", instrument="LSSTCam", exposure=3021121200310, detector=98)
    assert isinstance(obs_info, ObservationInfo)
    assert obs_info == raw.obs_info == read_raw(path).obs_info


def test_components_read_no_pixels(
    butler: Butler, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The headers are enough for detector and obs_info."""
    path = write_raw(tmp_path / "raw.fits", detector="R00_SW1")
    ref = ingest(butler, path, exposure=EXPOSURE, detector=192, day_obs=20250415)

    def refuse(*args: object, **options: object) -> None:
        raise AssertionError("pixels were read")

    monkeypatch.setattr(raw_module, "_read_pixels", refuse)
    assert butler.get(ref.makeComponentRef("detector")).id == 192
    assert butler.get(ref.makeComponentRef("obs_info")).detector_num == 192
    with pytest.raises(Exception, match="pixels were read"):
        butler.get(ref)


@pytest.mark.parametrize("component", [None, "detector", "obs_info"])
def test_file_of_another_exposure_is_refused(
    butler: Butler, tmp_path: pathlib.Path, component: str | None
) -> None:
    """The data ID and the header must agree."""
    path = write_raw(tmp_path / "raw.fits", detector="R00_SW1")
    ref = ingest(butler, path, exposure=EXPOSURE + 1, detector=192, day_obs=20250415)
    with pytest.raises(Exception, match=rf"exposure {EXPOSURE}, but the data ID") as caught:
        butler.get(ref if component is None else ref.makeComponentRef(component))
    assert str(path) in full_message(caught.value)


def test_damaged_file_says_which_file_and_data_id(butler: Butler, tmp_path: pathlib.Path) -> None:
    """A corrupt raw fails with its path and its data ID."""
    path = write_raw(tmp_path / "raw.fits", detector="R00_SW1")
    ref = ingest(butler, path, exposure=EXPOSURE, detector=192, day_obs=20250415)
    damage(path, "Segment13")
    with pytest.raises(Exception, match=re.escape("raw.fits")) as caught:
        butler.get(ref)
    message = full_message(caught.value)
    assert str(path) in message
    assert str(EXPOSURE) in message
    assert any(isinstance(error, RawFileError) for error in chain(caught.value))


def test_writing_a_raw_is_refused(butler: Butler, tmp_path: pathlib.Path) -> None:
    """Raws are ingested, never made."""
    assert RawFormatter.can_read_from_local_file
    path = write_raw(tmp_path / "raw.fits", detector="R00_SW1")
    ref = ingest(butler, path, exposure=EXPOSURE, detector=192, day_obs=20250415)
    raw = butler.get(ref)
    other = DatasetRef(ref.datasetType, ref.dataId, run="u/test/raw")
    butler.collections.register("u/test/raw")
    with pytest.raises(RuntimeError, match="RawFormatter") as caught:
        butler.put(raw, other)
    assert any(isinstance(error, NotImplementedError) for error in chain(caught.value))


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and what caused it."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def full_message(error: BaseException) -> str:
    """Return the text of an error, of its causes and of their notes."""
    parts = []
    for cause in chain(error):
        parts += [str(cause), *getattr(cause, "__notes__", [])]
    return "\n".join(parts)
