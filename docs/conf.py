"""How the documentation is built: sphinx-build -W docs docs/_build/html."""

import seqclf

project = "seqclf"
author = "The seqclf developers"
copyright = "2026, The seqclf developers"
release = version = seqclf.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
exclude_patterns = ["results", "_build"]
html_theme = "furo"
html_title = f"seqclf {release}"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "undoc-members": False, "show-inheritance": False}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_custom_sections = [("Source", "notes_style")]
myst_heading_anchors = 3
