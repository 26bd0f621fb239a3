"""How the documentation is built: sphinx-build -W docs docs/_build/html."""

import html
import itertools
import os
import re

from sphinx.util.nodes import make_refnode

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
pygments_dark_style = "github-dark"
smartquotes_action = "D"  # dashes only: quotes stay as they were written, to be copied
default_role = "py:obj"  # `code` in a docstring is code, and a link where it names something
maximum_signature_line_length = 88
toc_object_entries_show_parents = "hide"
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
copybutton_selector = "div:not(.highlight-text) > div.highlight > pre"  # what is printed is not copied

FEWEST_OF_CARDS, FEWEST_OF_DENSE = 5, 6  # columns, from which rows are cards on a phone, and letters smaller elsewhere
_TAG = re.compile(r"<[^>]*>")


def find_by_last_name(app, env, node, contnode):
    """Link what a docstring calls by its last name to the one object of the library that is called so."""
    target = node.get("reftarget", "")
    if node.get("refdomain") != "py" or not target:
        return None
    found = {
        full: entry
        for full, entry in env.get_domain("py").objects.items()
        if not entry.aliased and (full == target or full.endswith(f".{target}"))
    }
    if len(found) != 1:
        return None
    (full, entry), *_ = found.items()
    return make_refnode(app.builder, node["refdoc"], entry.docname, entry.node_id, contnode, full)


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


def label_cells(app, pagename, templatename, context, doctree):
    """Tell each cell of a table what its column is called, which is shown where a row becomes a card (custom.css)."""

    def table(match):
        heads = [
            html.escape(_TAG.sub("", head), quote=True) for head in re.findall(r"<th\b.*?>(.*?)</th>", match[0], re.S)
        ]
        if len(heads) < FEWEST_OF_CARDS:
            return match[0]
        columns = itertools.cycle(heads)
        labelled = re.sub(r"<td\b", lambda _: f'<td data-label="{next(columns)}"', match[0])
        kinds = "docutils cards dense" if len(heads) >= FEWEST_OF_DENSE else "docutils cards"
        return labelled.replace('class="docutils', f'class="{kinds}', 1)

    context["body"] = re.sub(r'<table class="docutils\b.*?</table>', table, context.get("body", ""), flags=re.S)


def setup(app):
    app.connect("missing-reference", find_by_last_name)
    app.connect("html-page-context", mend_back_links)
    app.connect("html-page-context", label_cells)
