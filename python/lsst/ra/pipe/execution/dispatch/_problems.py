# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("DispatchError",)

from ..._yaml_nodes import FileProblemsError


class DispatchError(FileProblemsError):
    """Dispatch rules are wrong.

    Parameters
    ----------
    origin
        The file of the rules.
    problems
        All that is wrong with them, each with its ``line``, 0 for rules that
        do not come from a file, and its ``message``.
    """
