"""The site of the pages, built by the tools of an environment of its own: `make docs`."""

from __future__ import annotations

import shutil
import subprocess
import sys

from tests.environments import ROOT, environment

SITE = ROOT / "build/docs"
STRICT = ("--fail-on-warning", "--keep-going", "--nitpicky", "--quiet")
ANEW = ("--fresh-env", "--write-all")
"""Of a page that was read before, nothing would be said again."""


def build() -> int:
    """Build the site, with nothing of an earlier one, and return the exit status. What is wrong is told on stderr."""
    shutil.rmtree(SITE, ignore_errors=True)
    python = environment(ROOT / "build/docs-tools", "--editable", ".[docs,metrics]", "pytest >= 8")
    folders = ("--conf-dir", "docs", "--doctree-dir", "build/doctrees", ".", SITE)
    return subprocess.run([python, "-m", "sphinx", *STRICT, *ANEW, *folders], cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    status = build()
    if status == 0:
        print(SITE.relative_to(ROOT) / "index.html")
    sys.exit(status)
