"""How Sphinx builds the site of README, docs and docstrings; `make docs` calls it on a copy in build/docs."""

import re
from pathlib import Path
from textwrap import dedent, indent
from typing import Any

REPOSITORY = Path(__file__).parents[2]
PACKAGES = ("shards", "pipelines", "ipdata", "ipmodel")
VERSION = re.search(r'__version__ = "(.+)"', (REPOSITORY / "shards" / "version.py").read_text("utf-8"))
assert VERSION is not None

project, release = "IP TSN", VERSION[1]
html_title = f"{project} {release}"
html_theme = "furo"
extensions = ["myst_parser", "sphinx.ext.autodoc", "autoapi.extension"]
root_doc = "README"
exclude_patterns = ["docs/site"]
smartquotes = False  # quotes are code more often than speech here
highlight_language = "text"  # of code blocks that name no language
html_copy_source = False
myst_heading_anchors = 3
python_use_unqualified_type_names = True  # Path, not pathlib.Path
suppress_warnings = [
    "myst.header",  # figures that `make bench` writes begin at the third level
    "autoapi.python_import_resolution",  # reading without importing does not follow `A, B = 1, 2`
]

autoapi_dirs = [str(REPOSITORY / package) for package in PACKAGES]  # read, not imported: no torch, no Numba, no ffmpeg
autoapi_root = "api"
autoapi_add_toctree_entry = False
autoapi_options = ["members", "undoc-members", "show-inheritance", "show-module-summary", "imported-members"]
autoapi_python_class_content = "both"  # what __init__ raises stands in its docstring

BUILTIN_INIT = "Initialize self.  See help(type(self)) for accurate signature."
CODE = re.compile(r"`([^`]+)`")
PLAIN = r"\ "  # nothing, but what follows it at the beginning of a line is no list, field or directive
SPECIAL = re.compile(r"([\\*_|:`])")  # reStructuredText would read something into these


def plain_text(_app: Any, _what: str, _name: str, _object: Any, _options: Any, lines: list[str]) -> None:
    """Docstrings are plain text: `code` in backticks, paragraphs, an Example. Nothing else in them is markup."""
    text = "\n".join(lines).replace(BUILTIN_INIT, "")
    lines[:] = "\n\n".join(map(_paragraph, text.strip().split("\n\n"))).split("\n")


def _paragraph(text: str) -> str:
    if text.startswith(PLAIN):  # a class's docstring comes with that of its __init__, which was here before
        return text
    if text.startswith(("Example:\n", "    ")):
        return ".. code-block:: python\n\n" + indent(dedent(text.removeprefix("Example:\n")), "   ")
    parts = CODE.split(" ".join(text.split()).replace("Raises: ", "Raises "))
    parts[0::2] = [SPECIAL.sub(r"\\\1", part) for part in parts[0::2]]
    parts[1::2] = [rf"\ ``{code}``\ " for code in parts[1::2]]
    return PLAIN + re.sub("^Raises ", "**Raises** ", "".join(parts))


def skip(_app: Any, what: str, name: str, _object: Any, skipped: bool, _options: Any) -> bool:
    """A function that is called like its module, as shards.verify, is described there: two of a name would collide."""
    module = (REPOSITORY / name.replace(".", "/")).with_suffix(".py")
    return skipped or (what == "function" and module.is_file())


def setup(app: Any) -> None:
    app.connect("autodoc-process-docstring", plain_text)
    app.connect("autoapi-skip-member", skip)
