# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Translation of raw headers to ``ObservationInfo``."""

from __future__ import annotations

__all__ = (
    "HeaderError",
    "LatissTranslator",
    "LsstCamSimTranslator",
    "LsstCamTranslator",
    "LsstComCamSimTranslator",
    "LsstComCamTranslator",
    "translate_header",
    "translators",
)

from collections.abc import MutableMapping
from typing import Any

from astro_metadata_translator import MetadataTranslator, ObservationInfo

from lsst.resources import ResourcePath

from ._header import HeaderError
from ._translator_latiss import LatissTranslator
from ._translator_lsstcam import (
    LsstCamSimTranslator,
    LsstCamTranslator,
    LsstComCamSimTranslator,
    LsstComCamTranslator,
)

_TRANSLATORS: tuple[type[MetadataTranslator], ...] = (
    LsstCamTranslator,
    LsstComCamTranslator,
    LatissTranslator,
    LsstCamSimTranslator,
    LsstComCamSimTranslator,
)


def translators() -> list[str]:
    """Return the names of the translators that this package registers.

    Importing this module registers them. It is the target of the
    ``astro_metadata_translators`` entry point, which ``astrometadata -p
    ra_pipe`` loads.

    Returns
    -------
    names
        Names under which the translators are registered.
    """
    return [str(translator.name) for translator in _TRANSLATORS]


def translate_header(
    header: MutableMapping[str, Any], *, filename: str | ResourcePath | None = None
) -> ObservationInfo:
    """Translate the header of a raw file completely, or say what is missing.

    Parameters
    ----------
    header
        Merged header of a raw file. Known mistakes are corrected in place.
    filename
        File that the header came from, if known.

    Returns
    -------
    obs_info
        Every property that the instrument's translator gives.

    Raises
    ------
    HeaderError
        Raised if no translator knows the instrument, or a keyword is missing
        or makes no sense. The message has the file and all such keywords.
    """
    label = None if filename is None else str(filename)
    try:
        translator_class = MetadataTranslator.determine_translator(header, filename=label)
    except ValueError as error:
        known = ", ".join(str(translator.supported_instrument) for translator in _TRANSLATORS)
        found = f"INSTRUME {header.get('INSTRUME')!r} and TELESCOP {header.get('TELESCOP')!r}"
        raise HeaderError(
            ("INSTRUME", "TELESCOP"), expected=f"an instrument of {known}", found=found, filename=label
        ) from error
    try:
        return ObservationInfo(header, filename=filename, translator_class=translator_class, pedantic=True)
    except (KeyError, TypeError) as error:
        raise _mistakes_of(header, translator_class, error, label) from error


def _mistakes_of(
    header: MutableMapping[str, Any],
    translator_class: type[MetadataTranslator],
    error: Exception,
    filename: str | None,
) -> HeaderError:
    """Return one error for all the keywords that stop a translation."""
    translator = translator_class(header)
    mistakes: dict[str, HeaderError] = {}
    for name in sorted(translator.all_properties):
        try:
            getattr(translator, f"to_{name}")()
        except HeaderError as mistake:
            mistakes.setdefault(mistake.describe(), mistake)
        except (ArithmeticError, KeyError, TypeError, ValueError):
            continue
    if not mistakes:
        return HeaderError(
            ("header",), expected="a header that can be translated", found=str(error), filename=filename
        )
    return HeaderError.combined(list(mistakes.values()), filename=filename)
