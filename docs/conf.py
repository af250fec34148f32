"""The site: all pages of this repository, and the reference from the docstrings. `make docs` builds it.

Pages are read where they are, so a link between them is as good on the site as it is in a plain viewer.
"""

from __future__ import annotations

import builtins
import re
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import inspect, logging

from launchers.runtime.base import PullStream, Runtime

# What Sphinx calls gets more than it needs.
# ruff: noqa: ARG001

project = html_title = "flcore"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = "docs/index"
include_patterns = ["*.md", "docs/**.md", "configs/**.md"]
exclude_patterns = [".*", "*.egg-info", "build", "dist", "flcore", "launchers", "tests", "workspace"]
nitpicky = True
nitpick_ignore = [  # of constructors that only this package calls
    ("py:class", "flcore.observers.job_tally.JobTally"),
    ("py:class", "flcore.observers.metrics_exporter.Asked"),
    ("py:class", "launchers.job_handle.Tracking"),
]
myst_heading_anchors = 4

autodoc_mock_imports = ["nvflare"]
autodoc_default_options = {"members": True, "undoc-members": True}
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints_format = "short"
autoclass_content = "both"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 100
napoleon_numpy_docstring = False
toc_object_entries_show_parents = "hide"

html_theme = "furo"
html_static_path = ["static"]
templates_path = ["templates"]
html_use_index = html_domain_indices = False
html_css_files = ["site.css"]
html_js_files = ["site.js"]
html_copy_source = False
html_show_copyright = False

SECTION = re.compile(r"^## (.+)$", re.MULTILINE)
LINK = re.compile(r"\[([^]]+)\]\((?!\w+:)([^)#]+)\.md\)")
NAMED_FENCE = re.compile(r"^```(\w+) (\S+)$", re.MULTILINE)
ARGUMENTS = re.compile(r"<dl>\n((?:<dd>.*</dd>\n)+)</dl>")
OF_A_NAMED_TUPLE = "Alias for field number"
PROTOCOLS: dict[str, type] = {"FakeRuntime": Runtime, "PlainRuntime": Runtime, "FakePull": PullStream}
FRONT_DOOR = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>flcore</title>
<meta http-equiv="refresh" content="0; url=docs/index.html">
<main><h1>flcore</h1><p><a href="docs/index.html">Its pages</a></p></main>
</html>
"""

logger = logging.getLogger(__name__)


def setup(app: Sphinx) -> None:
    app.connect("source-read", complete)
    app.connect("autodoc-skip-member", skip)
    app.connect("autodoc-process-docstring", take_no_word_for_a_type, priority=400)  # before napoleon's
    app.connect("autodoc-process-signature", show_arguments_once)
    app.connect("doctree-read", have_docstrings)
    app.connect("missing-reference", find_in_python)
    app.connect("html-page-context", mend, priority=900)  # behind the theme's
    app.connect("build-finished", lead_to_the_index)


def complete(app: Sphinx, page: str, source: list[str]) -> None:
    """Show the names of files over what is in them; make the navigation of what an index lists."""
    text = NAMED_FENCE.sub(r"```{code-block} \1\n:caption: \2\n", source[0])
    source[0] = text + "".join(navigation(text)) if page.endswith("/index") else text


def navigation(text: str) -> Iterator[str]:
    """Yield a table of contents for each section of an index, of the pages to which it links."""
    parts = SECTION.split(text)
    for caption, section in zip(["", *parts[1::2]], parts[::2], strict=True):
        pages = "\n".join(f"{title} <{page}>" for title, page in LINK.findall(section))
        if pages and caption:
            yield f"\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{pages}\n```\n"


def skip(app: Sphinx, what: str, name: str, thing: Any, skips: bool, options: Any) -> bool | None:
    """Leave out what a class only does as the protocol says that it is of."""
    protocol = PROTOCOLS.get(getattr(thing, "__qualname__", "").partition(".")[0])
    return True if protocol and name in vars(protocol) and not thing.__doc__ else None


def take_no_word_for_a_type(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Have napoleon read an attribute's first line as a sentence, be there a colon in it."""
    if what in ("attribute", "data", "property"):
        lines[:0] = ["..", ""]


def show_arguments_once(
    app: Sphinx, what: str, name: str, thing: Any, options: Any, signature: str | None, returns: str | None
) -> tuple[str | None, str | None]:
    """Show arguments that go on from ``__new__`` where they are named, and a default that is made anew as ``...``."""
    if what == "class" and signature and signature.startswith(("(*args", "(*_args")):
        if "__init__" not in vars(thing):
            return "", returns
        own = inspect.signature(thing.__init__, bound_method=True)
        signature = inspect.stringify_signature(own, show_return_annotation=False, unqualified_typehints=True)
    return signature and signature.replace("<factory>", "..."), returns


def have_docstrings(app: Sphinx, doctree: nodes.document) -> None:
    """Warn of each name in the reference of which nothing is said: `make docs` takes a warning for an error."""
    for described in doctree.findall(addnodes.desc):
        said = described[-1].astext()
        if not said or said.startswith(OF_A_NAMED_TUPLE):
            names = [str(signature.get("fullname")) for signature in described.findall(addnodes.desc_signature)]
            logger.warning("nothing is said of %s", ", ".join(names), location=described)


def find_in_python(
    app: Sphinx, env: BuildEnvironment, node: nodes.Element, shown: nodes.Element
) -> nodes.Element | None:
    """Leave a name of Python's own without a link: which of its pages has it is not known here."""
    return shown if node["refdomain"] == "py" and is_pythons(node["reftarget"]) else None


def is_pythons(name: str) -> bool:
    module, _, attribute = name.rpartition(".")
    if not module:
        return hasattr(builtins, name)
    return module.partition(".")[0] in sys.stdlib_module_names and hasattr(import_module(module), attribute)


def mend(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None) -> None:
    """Mend what would be read out wrongly: what is no definition, no header of a column, or a heading of no level."""
    body = ARGUMENTS.sub(as_lines, context.get("body", ""))
    context["body"] = body.replace('<th class="head"><p></p></th>', '<td class="head"></td>')
    tree = context.get("furo_navigation_tree", "")
    context["furo_navigation_tree"] = tree.replace('role="heading"', 'role="heading" aria-level="2"')


def as_lines(arguments: re.Match[str]) -> str:
    return arguments[1].replace("<dd>", '<span class="sig-line">').replace("</dd>", "</span>")


def lead_to_the_index(app: Sphinx, error: Exception | None) -> None:
    """Have who opens the site's folder get to its index."""
    if error is None:
        (Path(app.outdir) / "index.html").write_text(FRONT_DOOR)
