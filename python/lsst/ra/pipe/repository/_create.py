# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("create_repository", "make_raw_dataset_type", "open_repository", "register_instrument")

import logging
from collections.abc import Iterable

from lsst.daf.butler import Butler, CollectionType, Config, DatasetType, DimensionUniverse
from lsst.pipe.base import Instrument
from lsst.resources import ResourcePath, ResourcePathExpression

_LOG = logging.getLogger(__name__)

REPOSITORY_CONFIGS = (
    "resource://lsst.ra.pipe/resources/butler/storage_classes.yaml",
    "resource://lsst.ra.pipe/resources/butler/calibrations.yaml",
    "resource://lsst.ra.pipe/resources/butler/images.yaml",
)


def create_repository(
    root: ResourcePathExpression, *, instruments: Iterable[str], seed_config: Config | None = None
) -> Butler:
    """Create a data repository for Rapid Analysis, or complete one.

    Parameters
    ----------
    root
        Directory (or URI) of the repository.
    instruments
        Fully qualified names of the `lsst.pipe.base.Instrument` classes to
        register.
    seed_config
        Butler configuration to begin with, for example one whose
        ``registry.db`` is a PostgreSQL URL.  The default is SQLite and files
        below ``root``.  Not used when the repository exists.

    Returns
    -------
    butler
        Writeable client of the repository.

    Notes
    -----
    Calling this twice changes nothing.  The storage classes of this package
    are written into the repository's ``butler.yaml``, so that the Butler's own
    command line understands its dataset types.
    """
    root = ResourcePath(root, forceDirectory=True)
    if not root.join("butler.yaml").exists():
        config = Config()
        for path in REPOSITORY_CONFIGS:
            config.update(Config(ResourcePath(path)))
        if seed_config is not None:
            config.update(seed_config)
        Butler.makeRepo(root, config=config, forceConfigRoot=seed_config is None)
        _LOG.info("Created the repository %s", root)
    butler = Butler.from_config(root, writeable=True)
    for name in instruments:
        register_instrument(butler, name)
    return butler


def open_repository(root: ResourcePathExpression, *, writeable: bool = False) -> Butler:
    """Open a data repository.

    Parameters
    ----------
    root
        Directory, URI or alias of the repository.
    writeable
        Whether to allow changes.

    Returns
    -------
    butler
        Client of the repository.

    Raises
    ------
    FileNotFoundError
        Raised if there is no repository; the message says how to make one.
    """
    try:
        return Butler.from_config(root, writeable=writeable)
    except FileNotFoundError as err:
        raise FileNotFoundError(f"No Butler repository at {root}; 'rapid repo create' makes one.") from err


def register_instrument(butler: Butler, name: str) -> Instrument:
    """Register an instrument and make its standard collections.

    Parameters
    ----------
    butler
        Writeable client of the repository.
    name
        Fully qualified name of the `lsst.pipe.base.Instrument` class.

    Returns
    -------
    instrument
        The registered instrument.

    Notes
    -----
    The collections are those of Rubin's repositories: ``<name>/raw/all``,
    ``<name>/calib``, ``refcats``, and the chain ``<name>/defaults`` of them.
    """
    instrument = Instrument.from_string(name)
    instrument.register(butler.registry)
    butler.registry.registerDatasetType(make_raw_dataset_type(instrument, butler.dimensions))
    raws = instrument.makeDefaultRawIngestRunName()
    calibrations = instrument.makeCalibrationCollectionName()
    reference_catalogs = instrument.makeRefCatCollectionName()
    butler.collections.register(raws, CollectionType.RUN)
    butler.collections.register(calibrations, CollectionType.CALIBRATION)
    butler.collections.register(reference_catalogs, CollectionType.CHAINED)
    umbrella = instrument.makeUmbrellaCollectionName()
    if butler.collections.register(umbrella, CollectionType.CHAINED):
        butler.collections.redefine_chain(umbrella, [raws, calibrations, reference_catalogs])
    return instrument


def make_raw_dataset_type(instrument: Instrument, universe: DimensionUniverse) -> DatasetType:
    """Make the dataset type of an instrument's raws.

    Parameters
    ----------
    instrument
        The instrument, one of this package.
    universe
        Dimensions of the repository.

    Returns
    -------
    dataset_type
        The dataset type ``raw``.

    Raises
    ------
    TypeError
        Raised if the instrument does not say what its raws are.
    """
    if instrument.raw_definition is None:
        raise TypeError(f"{type(instrument).__name__} has no raw_definition; its raws cannot be ingested.")
    name, dimensions, storage_class = instrument.raw_definition
    return DatasetType(name, dimensions, storage_class, universe=universe)
