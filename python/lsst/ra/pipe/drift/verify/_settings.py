# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Settings of two tasks by field name, and how one is given the other's."""

from __future__ import annotations

__all__ = ("compare_settings", "copy_config", "give_settings")

from collections.abc import Iterator, Mapping
from typing import Any

from lsst.pipe.base import PipelineTaskConfig

from .._values import ABSENT, encode_value, same_value
from ._report import SettingDifference

type _Path = tuple[Any, ...]

_NO_ALGORITHM = ("connections", "saveLogOutput")
"""Fields that name datasets or say what else is written."""


def copy_config(config: PipelineTaskConfig) -> PipelineTaskConfig:
    """Copy a configuration.

    Parameters
    ----------
    config
        The configuration.

    Returns
    -------
    copied
        A copy that can be changed.
    """
    copied = config.copy()
    assert isinstance(copied, PipelineTaskConfig), "It has the class of the original."
    return copied


def compare_settings(
    reference: PipelineTaskConfig, candidate: PipelineTaskConfig
) -> dict[_Path, SettingDifference]:
    """Find the fields that have other values.

    Parameters
    ----------
    reference, candidate
        The configurations.  Names of datasets are not compared.

    Returns
    -------
    differences
        Differences by the parts of the field's name, sorted by name.
    """
    ours, theirs = dict(_flatten(reference)), dict(_flatten(candidate))
    found = {}
    for path in sorted(ours.keys() | theirs.keys(), key=_name):
        values = [encode_value(side[path]) if path in side else ABSENT for side in (ours, theirs)]
        if not same_value(*values):
            found[path] = SettingDifference(field=_name(path), reference=values[0], candidate=values[1])
    return found


def give_settings(
    reference: PipelineTaskConfig, candidate: PipelineTaskConfig
) -> tuple[PipelineTaskConfig, list[SettingDifference]]:
    """Give a candidate the reference's values of all fields that both have.

    Parameters
    ----------
    reference, candidate
        The configurations; not changed.

    Returns
    -------
    changed
        The candidate's configuration with the reference's values.  A value
        that it refuses, as of a step that it does not implement, stays its
        own.
    differences
        What differed, and what became of it.
    """
    differences = compare_settings(reference, candidate)
    values = dict(_flatten(reference))
    changed = copy_config(candidate)
    refusals: dict[_Path, str] = {}
    wanted = [path for path, one in differences.items() if ABSENT not in (one.reference, one.candidate)]
    shared = set(wanted)
    # A field may be refused because of another one that comes after it.
    while wanted:
        left = [path for path in wanted if not _try(changed, path, values[path], refusals)]
        if len(left) == len(wanted):
            break
        wanted = left
    refused = {path: refusals[path] for path in wanted}
    given = [
        one.model_copy(
            update={"applied": path in shared and path not in refused, "refusal": refused.get(path, "")}
        )
        for path, one in differences.items()
    ]
    return changed, given


def _name(path: _Path) -> str:
    return ".".join(map(str, path))


def _flatten(config: PipelineTaskConfig) -> Iterator[tuple[_Path, Any]]:
    """Yield path and value of each field that is about the algorithm."""
    values: Mapping[str, Any] = config.toDict()  # type: ignore[no-untyped-call]
    yield from _walk({name: value for name, value in values.items() if name not in _NO_ALGORITHM}, ())


def _walk(values: Mapping[Any, Any], path: _Path) -> Iterator[tuple[_Path, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _walk(value, (*path, key))
        else:
            yield (*path, key), value


def _try(config: PipelineTaskConfig, path: _Path, value: Any, refusals: dict[_Path, str]) -> bool:
    """Set a field, unless the configuration does not accept that."""
    *parents, name = path
    owner: Any = config
    for part in parents:
        owner = owner[part] if isinstance(owner, Mapping) else getattr(owner, part)
    own = owner[name] if isinstance(owner, Mapping) else getattr(owner, name)
    kept = list(own) if isinstance(value, list | tuple) and own is not None else own
    try:
        _set(owner, name, value)
        config.validate()  # type: ignore[no-untyped-call]
    except (ValueError, TypeError) as error:
        _set(owner, name, kept)
        # pex_config adds lines about where the field is defined.
        refusals[path] = str(error).partition("\n")[0]
        return False
    return True


def _set(owner: Any, name: Any, value: Any) -> None:
    if isinstance(owner, Mapping):
        owner[name] = value  # type: ignore[index]
    else:
        setattr(owner, name, value)
