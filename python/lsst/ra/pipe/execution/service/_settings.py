# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("ServiceSettings",)

from typing import Annotated, Literal, Self

import pydantic
import pydantic_settings

from ..dispatch import DispatchTable, default_dispatch, load_dispatch
from ..queue import QueueSettings
from ..sources import SourceSettings


class ServiceSettings(
    pydantic_settings.BaseSettings,
    frozen=True,
    extra="forbid",
    use_attribute_docstrings=True,
    env_prefix="RAPID_",
    env_nested_delimiter="__",
):
    """Settings of the live service, the same for all its processes.

    Notes
    -----
    Those that are not given are read, once, from environment variables with
    the prefix ``RAPID_``: ``RAPID_REDIS_URL``, ``RAPID_MEMORY_LIMIT_BYTES``,
    ``RAPID_QUEUE__LEASE_SECONDS``, ``RAPID_SOURCE__KAFKA_OPTIONS`` (JSON).
    """

    repository: str
    """Root, configuration file or alias of the Butler repository."""

    redis_url: str = "redis://127.0.0.1:6379/0"
    """Server of the queue."""

    instruments: tuple[str, ...] = pydantic.Field(default=("LSSTCam",), min_length=1)
    """Butler ``instrument`` values whose images are processed."""

    dispatch: dict[str, str] = {}
    """File of dispatch rules by instrument; the default is the package's."""

    inputs: tuple[str, ...] = ()
    """Collections to read from; the default is ``<instrument>/defaults``."""

    queue: QueueSettings = QueueSettings()
    """The queue."""

    source: SourceSettings = SourceSettings()
    """Where events come from."""

    max_event_bytes: int = pydantic.Field(default=262_144, gt=0)
    """Size (bytes) from which an event is refused."""

    bucket_secret: pydantic.SecretStr | None = None
    """What bucket notifications carry to show that they are genuine."""

    bucket_profile: str | None = None
    """Name of the S3 endpoint, as `lsst.resources` knows it."""

    file_root: str | None = None
    """Where the files are that the auto-ingest webhook names."""

    transfer: Literal["auto", "copy", "direct", "hardlink", "link", "move", "relsymlink", "symlink"] = (
        "direct"
    )
    """How raw files get into the repository."""

    emit: str | None = None
    """Where to say that an image was ingested, ``kafka://host:port/topic``;
    the default is to queue the image at once."""

    batch_size: int = pydantic.Field(default=1, ge=1)
    """Number of files that are ingested together at most."""

    memory_limit_bytes: int = pydantic.Field(default=8_000_000_000, gt=0)
    """Memory (bytes) that the process which executes may allocate."""

    calibration_directory: str | None = None
    """Directory for calibration images in memory-mapped form, shared by the
    workers of a machine; the default is one for each worker, which goes with
    it."""

    calibration_bytes: int = pydantic.Field(default=4_000_000_000, ge=0)
    """Budget (bytes) of that directory."""

    warm_seconds: float = pydantic.Field(default=4.0, ge=0)
    """Time (s) for rehearsals on images that are there, before a worker says
    it is ready: they compile kernels and load calibrations."""

    start_seconds: float = pydantic.Field(default=120.0, gt=0)
    """Time (s) in which the process that executes must be ready."""

    grace_seconds: float = pydantic.Field(default=20.0, ge=0)
    """Time (s) for finishing the current image after SIGTERM; then it is
    handed back."""

    outage_seconds: float = pydantic.Field(default=3600.0, ge=0)
    """Time (s) for which a job waits for a repository or a broker that does
    not answer, before it goes to the dead letters."""

    refresh_seconds: float = pydantic.Field(default=60.0, gt=0)
    """Time (s) after which a worker looks again whether calibrations or the
    collections to read from have changed."""

    alerts: dict[str, str] = {}
    """File of alert rules by instrument; the default is the package's, and an
    empty text is for none."""

    alert_topic: str | None = None
    """Where alerts are sent, ``kafka://host:port/topic``; the default is
    nowhere, they are in the log and in Redis only."""

    observers: tuple[Annotated[str, pydantic.Field(pattern=r"^\w+(\.\w+)*:\w+$")], ...] = ()
    """Functions, as ``package.module:name``, each of which makes what is told
    of every image.  It is called with the keywords ``settings``, which are
    these, and ``butler``, and returns an `~lsst.ra.pipe.execution.ImageObserver`.
    """

    consdb_url: pydantic.SecretStr | None = None
    """Where the database is whose quicklook tables get the metrics, for
    SQLAlchemy; in it ``{instrument}`` stands for the instrument."""

    consdb_pause_seconds: float = pydantic.Field(default=30.0, ge=0)
    """Time (s) for which a worker leaves that database alone when it does not
    answer, and after which what it refused is tried again."""

    @pydantic.model_validator(mode="after")
    def _dispatch_is_for_instruments(self) -> Self:
        if unknown := sorted(set(self.dispatch) - set(self.instruments)):
            raise ValueError(
                f"dispatch rules for {unknown}, but the instruments are {list(self.instruments)}"
            )
        return self

    def input_collections(self, instrument: str) -> tuple[str, ...]:
        """Return the collections to read from.

        Parameters
        ----------
        instrument
            Butler ``instrument``.

        Returns
        -------
        collections
            Their names.
        """
        return self.inputs or (f"{instrument}/defaults",)

    def load_dispatch(self, *, check: bool = True) -> dict[str, DispatchTable]:
        """Load the dispatch rules of all instruments.

        Parameters
        ----------
        check
            Whether to see that what the rules name exists.

        Returns
        -------
        tables
            Rules by instrument.

        Raises
        ------
        DispatchError
            Raised if anything is wrong with a file, with its lines.
        """
        return {
            name: load_dispatch(self.dispatch.get(name, default_dispatch(name)), check=check)
            for name in self.instruments
        }
