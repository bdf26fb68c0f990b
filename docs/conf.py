"""Settings of Sphinx, which builds the documentation site: ``make docs``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from sphinx.errors import ConfigError

import gannet
from check_docstrings import unlisted_names

project = "Gannet"
author = "The Gannet authors"
release = version = gannet.__version__
extensions = ["sphinx.ext.autodoc", "sphinx.ext.autosummary", "numpydoc", "myst_parser"]
source_suffix = {".rst": "restructuredtext", ".md": "markdown"}
exclude_patterns = ["_build"]
templates_path = ["_templates"]

# A page per public name, with the members that Gannet defines and not those of the libraries it extends.
default_role = "py:obj"  # `name` in a docstring links to the page of that name
autosummary_generate = True
of_libraries = (
    "BaseEstimator",
    "TransformerMixin",
    "_SetOutputMixin",
    "_MetadataRequester",
    "Module",
    "tuple",
    "Exception",
)
autodoc_default_options = {"members": True, "inherited-members": ", ".join(of_libraries)}
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings state the types
numpydoc_show_class_members = False
myst_heading_anchors = 3  # links such as photos.md#near-duplicates, as on GitHub

html_title = "Gannet"
html_theme = "pydata_sphinx_theme"
html_theme_options = {
    "navbar_end": ["theme-switcher"],
    "show_prev_next": False,
    "secondary_sidebar_items": ["page-toc"],
}
html_show_sourcelink = False

if unlisted_names():
    raise ConfigError(f"docs/reference.rst does not list {', '.join(unlisted_names())}")
