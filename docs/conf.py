"""How the documentation is built: sphinx-build -W docs docs/_build/html."""

import os
import re

import seqclf

project = "seqclf"
author = "The seqclf developers"
copyright = "2026, The seqclf developers"
release = version = seqclf.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
]
if os.environ.get("SEQCLF_DOCS_ONLINE"):  # links into other projects' pages, whose indexes come from the network
    extensions.append("sphinx.ext.intersphinx")
    intersphinx_mapping = {
        "python": ("https://docs.python.org/3", None),
        "numpy": ("https://numpy.org/doc/stable", None),
        "torch": ("https://docs.pytorch.org/docs/stable", None),
        "sklearn": ("https://scikit-learn.org/stable", None),
    }
exclude_patterns = ["results", "_build"]
html_theme = "furo"
html_static_path = ["_static"]
html_favicon = "_static/favicon.svg"
html_css_files = ["custom.css"]
html_title = f"seqclf {release}"
autosummary_generate = False  # the page itself is the documentation; the tables only point into it
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "undoc-members": False}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
myst_heading_anchors = 3
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True


def mend_back_links(app, pagename, templatename, context, doctree):
    """Let pages of source code point back to where a name is documented.

    viewcode takes all names of a file to be documented under one module, that of the first.
    """
    if pagename.startswith("_modules/"):
        known = app.env.get_domain("py").objects

        def mend(match):
            full = match[1]
            others = [
                name for name in known if name.startswith("seqclf.") and name.endswith(full.removeprefix("seqclf"))
            ]
            return f'#{full if full in known or not others else others[0]}"'

        context["body"] = re.sub(r'#(seqclf\.[\w.]+)"', mend, context["body"])


def setup(app):
    app.connect("html-page-context", mend_back_links)
