# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Reading keywords of a header, with errors that say what is wrong."""

from __future__ import annotations

__all__ = ("HeaderError", "HeaderReader", "has_text")

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from astro_metadata_translator import FitsTranslator


class HeaderError(ValueError):
    """A header lacks a keyword, or its value makes no sense.

    Parameters
    ----------
    keywords
        Keywords of which one was needed.
    expected
        What they should hold.
    found
        What was found; by default that they are missing.
    filename
        File that the header came from, if known.
    """

    def __init__(
        self,
        keywords: Iterable[str],
        *,
        expected: str,
        found: str = "no value",
        filename: str | None = None,
    ) -> None:
        self.keywords = tuple(keywords)
        self.expected = expected
        self.found = found
        self.filename = filename
        super().__init__(self.describe() if filename is None else f"{filename}: {self.describe()}")

    @classmethod
    def combined(cls, mistakes: Sequence[HeaderError], *, filename: str | None = None) -> HeaderError:
        """Return one error for all the mistakes of a header.

        Parameters
        ----------
        mistakes
            Errors, at least one.
        filename
            File that the header came from, if known.

        Returns
        -------
        error
            Error with the keywords and descriptions of all mistakes.
        """
        keywords = dict.fromkeys(keyword for mistake in mistakes for keyword in mistake.keywords)
        error = cls(keywords, expected=mistakes[0].expected, found=mistakes[0].found, filename=filename)
        if len(mistakes) > 1:
            text = f"{len(mistakes)} mistakes: {'; '.join(mistake.describe() for mistake in mistakes)}"
            error.args = (text if filename is None else f"{filename}: {text}",)
        return error

    def describe(self) -> str:
        """Return the message without the file's name."""
        return f"{' or '.join(self.keywords)}: expected {self.expected}, found {self.found}"


class HeaderReader(FitsTranslator):
    """A translator's access to the keywords of its header.

    Parameters
    ----------
    header
        Merged header of a raw file.
    filename
        File that the header came from, if known.
    """

    def _error(self, keywords: str | Iterable[str], expected: str, **found: str) -> HeaderError:
        keywords = (keywords,) if isinstance(keywords, str) else keywords
        return HeaderError(keywords, expected=expected, filename=self.filename, **found)

    def _value(self, *keywords: str) -> Any:
        """Return the value of the first keyword that has one, or `None`."""
        for keyword in keywords:
            if self.is_key_ok(keyword):
                self._used_these_cards(keyword)
                return self._header[keyword]
        return None

    def _text(self, *keywords: str, expected: str) -> str:
        value = self._value(*keywords)
        if value is None:
            raise self._error(keywords, expected)
        return str(value)

    def _text_or(self, default: str, *keywords: str) -> str:
        value = self._value(*keywords)
        return default if value is None else str(value)

    def _number(self, *keywords: str, expected: str = "a number") -> float | None:
        """Return the value of the first keyword that has one as a number."""
        value = self._value(*keywords)
        if value is None:
            return None
        try:
            return float(value)
        except (TypeError, ValueError) as error:
            raise self._error(keywords, expected, found=repr(value)) from error

    def _integer(self, keyword: str, *, expected: str) -> int:
        value = self._text(keyword, expected=expected)
        try:
            return int(value)
        except ValueError as error:
            raise self._error(keyword, expected, found=repr(value)) from error


def has_text(header: Mapping[str, Any], keyword: str, *texts: str) -> bool:
    """Return whether a keyword holds one of some texts, whatever their case.

    Parameters
    ----------
    header
        Header to look in.
    keyword
        Keyword to look for.
    *texts
        Texts in lower case.

    Returns
    -------
    found
        Whether the keyword is there and holds one of the texts.
    """
    value = header.get(keyword)
    return isinstance(value, str) and value.lower() in texts
