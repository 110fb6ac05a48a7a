# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Images are written fast, into the files that lsst.images writes."""

from __future__ import annotations

import pathlib
from typing import Any

import astropy.io.fits
import astropy.units as u
import lsst.images.fits
import numpy as np
import numpy.typing as npt
import pytest
from astro_metadata_translator import ObservationInfo
from astropy.coordinates import Angle, SkyCoord
from lsst.daf.butler import Butler, DatasetProvenance, DatasetType
from lsst.images import (
    BackgroundMap,
    Box,
    Image,
    Mask,
    MaskedImage,
    MaskPlane,
    MaskSchema,
    ObservationSummaryStats,
    VisitImage,
)
from lsst.images.fields import ChebyshevField
from lsst.images.psfs import GaussianPointSpreadFunction
from lsst.images.serialization import read_archive
from lsst.ra.pipe.algorithms import MASK_SCHEMA
from lsst.ra.pipe.camera import load_camera
from lsst.ra.pipe.repository._fits_file import write_fits

RICE = lsst.images.fits.FitsCompressionOptions(algorithm=lsst.images.fits.FitsCompressionAlgorithm.RICE_1)
OPTIONS = {"image": None, "mask": RICE, "variance": None}
CAMERA = load_camera("LSSTCam")
DETECTOR = CAMERA["R22_S11"]
SHAPE = (45, 71)


def many_planes(n: int, dtype: npt.DTypeLike = np.uint8, *, gap: int | None = None) -> MaskSchema:
    """Make a schema of n planes, one of them a gap."""
    planes = [None if i == gap else MaskPlane(f"P{i}", f"Number {i}.") for i in range(n)]
    return MaskSchema(planes, dtype=dtype)


def make_mask(schema: MaskSchema, *, density: float = 0.05) -> Mask:
    """Set pixels of all planes at random, here and there whole regions."""
    rng = np.random.default_rng(1)
    mask = Mask(schema=schema, shape=SHAPE)
    for n, name in enumerate(schema.names):
        chosen = rng.random(SHAPE) < density
        chosen[n : n + 5, 10:60] = True
        mask.set(name, chosen)
    return mask


def make_image(schema: MaskSchema = MASK_SCHEMA, *, with_sky: bool = True) -> MaskedImage:
    """Make an image with values that FITS might trip over."""
    rng = np.random.default_rng(2)
    pixels = rng.normal(1000.0, 30.0, SHAPE).astype(np.float32)
    pixels[3, :4] = [np.nan, np.inf, -np.inf, -0.0]
    boresight = SkyCoord(150.3 * u.deg, 2.7 * u.deg)
    projection = CAMERA.sky_projection(DETECTOR.id, boresight=boresight, rotation=Angle(30.0 * u.deg))
    return MaskedImage(
        Image(pixels, unit=u.electron),
        mask=make_mask(schema),
        variance=Image(np.abs(pixels[:, ::-1]), unit=u.electron**2),
        sky_projection=projection if with_sky else None,
        metadata={"NUMNANS": 4, "LSST ISR BIAS APPLIED": True, "a key longer than any keyword": "value" * 30},
    )


def make_visit_image() -> VisitImage:
    """Make an image with all that calibrateImage attaches."""
    image = make_image()
    assert image.sky_projection is not None
    backgrounds = BackgroundMap()
    sky = ChebyshevField(image.bbox, np.arange(9.0).reshape(3, 3), unit=u.electron)
    backgrounds.add("sky", sky, "A polynomial.", is_subtracted=True)
    return VisitImage(
        image.image,
        mask=image.mask,
        variance=image.variance,
        sky_projection=image.sky_projection,
        obs_info=ObservationInfo.makeObservationInfo(
            instrument="LSSTCam",
            exposure_id=2026112200007,
            physical_filter="r_57",
            detector_num=DETECTOR.id,
            exposure_time=30.0 * u.s,
        ),
        summary_stats=ObservationSummaryStats(psfSigma=1.7),
        psf=GaussianPointSpreadFunction(1.7, image.bbox, 41),
        detector=DETECTOR,
        backgrounds=backgrounds,
        band="r",
        metadata={"psf_is_measured": True},
    )


def note_origin(header: astropy.io.fits.Header) -> None:
    """Add cards to the primary header, as the Butler's provenance does."""
    for n in range(40):
        header.set(f"HIERARCH LSST BUTLER INPUT {n} RUN", f"LSSTCam/run/{n}")


def split_file(path: pathlib.Path) -> list[tuple[str, bytes]]:
    """Return header without the time of writing, and bytes, of each HDU."""
    content, hdus = path.read_bytes(), []
    with astropy.io.fits.open(path, disable_image_compression=True) as file:
        for hdu in file:
            info = hdu.fileinfo()
            header = content[info["hdrLoc"] : info["datLoc"]].decode()
            cards = [header[i : i + 80] for i in range(0, len(header), 80)]
            assert sum(card.startswith("DATE  ") for card in cards) == 1
            text = "\n".join(card for card in cards if not card.startswith("DATE  "))
            hdus.append((text, content[info["datLoc"] : info["datLoc"] + info["datSpan"]]))
    return hdus


def write_both(obj: Any, directory: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
    """Write with this package and with lsst.images."""
    ours, theirs = directory / "ours.fits", directory / "theirs.fits"
    write_fits(obj, str(ours), compression_options=OPTIONS, update_header=note_origin)
    lsst.images.fits.write(obj, theirs, compression_options=OPTIONS, update_header=note_origin)
    return ours, theirs


@pytest.mark.parametrize(
    "schema",
    [
        MASK_SCHEMA,
        many_planes(3),
        many_planes(16),
        many_planes(21),
        many_planes(31),
        many_planes(40),
        many_planes(12, gap=4),
        many_planes(12, np.int32),
        many_planes(40, np.int16),
    ],
    ids=lambda schema: f"{len(list(schema))} planes, {schema.dtype}",
)
def test_file_is_the_one_that_lsst_images_writes(schema: MaskSchema, tmp_path: pathlib.Path) -> None:
    """Header by header and byte by byte, for masks of every kind."""
    ours, theirs = write_both(make_image(schema), tmp_path)
    assert split_file(ours) == split_file(theirs)
    assert ours.stat().st_size == theirs.stat().st_size


@pytest.mark.parametrize("with_sky", [True, False])
def test_place_on_the_sky_is_written_or_left_out(with_sky: bool, tmp_path: pathlib.Path) -> None:
    """The headers have a WCS if there is one."""
    ours, theirs = write_both(make_image(with_sky=with_sky), tmp_path)
    assert split_file(ours) == split_file(theirs)
    assert ("CTYPE1" in astropy.io.fits.getheader(ours, "IMAGE")) == with_sky


def test_visit_image_is_written_with_all_its_parts(tmp_path: pathlib.Path) -> None:
    """The file equals lsst.images' own, and the object comes back."""
    visit_image = make_visit_image()
    ours, theirs = write_both(visit_image, tmp_path)
    assert split_file(ours) == split_file(theirs)
    found = read_archive(ours, VisitImage)
    np.testing.assert_array_equal(found.image.array, visit_image.image.array)
    np.testing.assert_array_equal(found.variance.array, visit_image.variance.array)
    assert found.mask == visit_image.mask
    assert found.summary_stats.psfSigma == 1.7
    assert found.detector == visit_image.detector


def test_headers_of_an_earlier_file_are_carried_along(tmp_path: pathlib.Path) -> None:
    """What was read but not understood is written again."""
    image = make_image()
    opaque = lsst.images.fits.FitsOpaqueMetadata()
    for name in ("", "IMAGE", "MASK"):
        opaque.add_header(astropy.io.fits.Header([("FOREIGN", f"kept in {name}")]), name=name)
    image._opaque_metadata = opaque
    ours, theirs = write_both(image, tmp_path)
    assert split_file(ours) == split_file(theirs)
    assert astropy.io.fits.getheader(ours, "MASK")["FOREIGN"] == "kept in MASK"


def test_image_alone_is_written_the_same_way(tmp_path: pathlib.Path) -> None:
    """Binned images and background meshes."""
    ours, theirs = write_both(make_image().image, tmp_path)
    assert split_file(ours) == split_file(theirs)


def test_an_existing_file_is_not_overwritten(tmp_path: pathlib.Path) -> None:
    """Nothing is lost by a wrong path."""
    path = tmp_path / "image.fits"
    path.write_text("something else")
    with pytest.raises(FileExistsError):
        write_fits(make_image(), str(path), compression_options=OPTIONS, update_header=note_origin)
    assert path.read_text() == "something else"


@pytest.mark.parametrize(
    ("storage_class", "dataset"),
    [("MaskedImageV2", make_image()), ("VisitImage", make_visit_image())],
    ids=["MaskedImageV2", "VisitImage"],
)
def test_components_and_cutouts_are_read_from_the_repository(
    storage_class: str, dataset: Any, butler: Butler
) -> None:
    """The Butler's formatter writes what its components are read from."""
    dataset_type = DatasetType(
        "an_image", ("instrument", "detector"), storage_class, universe=butler.dimensions
    )
    butler.registry.registerDatasetType(dataset_type)
    butler.collections.register("some/run")
    ref = butler.put(
        dataset,
        dataset_type,
        instrument="LSSTCam",
        detector=94,
        run="some/run",
        provenance=DatasetProvenance(),
    )
    for name in ("image", "variance"):
        found = butler.get(f"an_image.{name}", ref.dataId, collections=ref.run)
        np.testing.assert_array_equal(found.array, getattr(dataset, name).array)
    assert butler.get("an_image.mask", ref.dataId, collections=ref.run) == dataset.mask
    box = Box.factory[10:20, 5:50]
    cutout = butler.get(ref, parameters={"bbox": box})
    np.testing.assert_array_equal(cutout.image.array, dataset.image.array[10:20, 5:50])
    assert cutout.mask == dataset.mask[box]
    if storage_class == "VisitImage":
        stats = butler.get("an_image.summary_stats", ref.dataId, collections=ref.run)
        assert stats.psfSigma == 1.7
    header = astropy.io.fits.getheader(butler.getURI(ref).ospath)
    assert header["LSST BUTLER RUN"] == "some/run"
    with astropy.io.fits.open(butler.getURI(ref).ospath, disable_image_compression=True) as file:
        kinds = [type(hdu).__name__ for hdu in file[1:4]]
    assert kinds == ["ImageHDU", "BinTableHDU", "ImageHDU"]
