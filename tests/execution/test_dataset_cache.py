# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

import uuid

import numpy as np
import pytest
from lsst.images import Box, Image, Mask, MaskedImage, MaskPlane, MaskSchema
from lsst.ra.pipe.execution import DatasetCache

SCHEMA = MaskSchema([MaskPlane("BAD", "Unusable.")])
IMAGE_BYTES = 100 * (4 + 4 + 1)


def make_image() -> MaskedImage:
    """Make an image of IMAGE_BYTES bytes."""
    box = Box.factory[0:10, 0:10]
    return MaskedImage(
        Image(np.zeros((10, 10), np.float32), bbox=box),
        mask=Mask(schema=SCHEMA, bbox=box),
        variance=Image(np.zeros((10, 10), np.float32), bbox=box),
    )


def test_several_datasets_of_one_type_stay() -> None:
    """Flats of several filters and detectors are there together."""
    cache = DatasetCache(10 * IMAGE_BYTES)
    images = {uuid.uuid4(): make_image() for _ in range(5)}
    for key, image in images.items():
        cache.put(image, key)
    assert all(cache.get(key) is image for key, image in images.items())
    assert cache.used_bytes == 5 * IMAGE_BYTES


def test_least_recently_used_leaves_first() -> None:
    """The budget holds, and what is in use stays."""
    cache = DatasetCache(2 * IMAGE_BYTES)
    first, second, third = (uuid.uuid4() for _ in range(3))
    cache.put(make_image(), first)
    cache.put(make_image(), second)
    assert cache.get(first) is not None
    cache.put(make_image(), third)
    assert cache.get(second) is None
    assert cache.get(first) is not None
    assert cache.get(third) is not None
    assert cache.used_bytes <= cache.max_bytes


def test_dataset_above_the_budget_is_not_kept() -> None:
    """It must not drive the others out for nothing."""
    cache = DatasetCache(IMAGE_BYTES + 10)
    small, large = uuid.uuid4(), uuid.uuid4()
    cache.put("x" * 10, small)
    cache.put("x" * 10 * IMAGE_BYTES, large)
    assert cache.get(small) == "x" * 10
    assert cache.get(large) is None


def test_components_are_kept_apart() -> None:
    """A component is not mistaken for its parent."""
    cache = DatasetCache(10_000)
    key = uuid.uuid4()
    cache.put("whole", key)
    cache.put("part", key, "component")
    assert (cache.get(key), cache.get(key, "component")) == ("whole", "part")


def test_negative_budget_is_refused() -> None:
    """The error gives the number."""
    with pytest.raises(ValueError, match="-1 bytes"):
        DatasetCache(-1)
