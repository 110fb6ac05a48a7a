# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Sphinx configuration; needs no network."""

from __future__ import annotations

import importlib.metadata

from docutils.parsers.rst import roles

project = "ra_pipe"
copyright = "the developers of ra_pipe"
version = release = importlib.metadata.version("lsst-ra-pipe")

extensions = [
    "sphinx.ext.autodoc",
    "numpydoc",
    "sphinx_automodapi.automodapi",
    "sphinx_click",
]
exclude_patterns = ["_build", "changes/*", "README.md"]
default_role = "py:obj"
html_theme = "alabaster"
html_theme_options = {"description": "Rapid Analysis", "page_width": "1100px", "sidebar_width": "240px"}

# Annotations carry the types, docstrings the meaning.
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
# What a class inherits is documented where it was written.
autodoc_inherit_docstrings = False
automodsumm_inherited_members = False
automodapi_inheritance_diagram = False
automodapi_toctreedirnm = "api"
numpydoc_show_class_members = False
numpydoc_xref_param_type = False
# An attribute called "type" is no ambiguity of the annotation `type`.
suppress_warnings = ["ref.python"]

# In docstrings that matplotlib writes into subclasses of its artists.
roles.register_generic_role("mpltype", roles.nodes.literal)
