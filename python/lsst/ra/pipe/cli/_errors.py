# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("NoAnswerError", "expected_errors")

import functools
from collections.abc import Callable

import click
import redis

from lsst.daf.butler import ButlerUserError
from lsst.daf.butler.registry import RegistryError
from lsst.pex.config import FieldValidationError
from lsst.pipe.base.pipeline_graph import PipelineGraphError

_EXPECTED = (ButlerUserError, FieldValidationError, OSError, PipelineGraphError, RegistryError, ValueError)


class NoAnswerError(click.ClickException):
    """A question could not be answered, which is not the same as no."""

    exit_code = 2


def expected_errors[**P, R](command: Callable[P, R]) -> Callable[P, R]:
    """Turn the errors that a user can mend into one line and exit status 1.

    Parameters
    ----------
    command
        Body of a command.
    """

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except _EXPECTED as err:
            raise click.ClickException(f"{err}") from err
        except redis.RedisError as err:
            # Its messages have host and port, and never a password.
            raise click.ClickException(f"The queue's server: {err}") from err

    return wrapped
