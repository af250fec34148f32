"""Virtual environments of other frameworks' packages, which must not be in ours."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def environment(folder: Path, *requirements: str) -> Path:
    """Return the interpreter of an environment with these packages; make it if it is missing, which takes minutes."""
    installed = folder / "installed"
    if not installed.exists() or installed.read_text() != repr(requirements):
        print(f"installing {' '.join(requirements)} in {folder.relative_to(ROOT)}", file=sys.stderr, flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        subprocess.run([folder / "bin/python", "-m", "pip", "install", "-qq", *requirements], check=True, cwd=ROOT)
        installed.write_text(repr(requirements))
    return folder / "bin/python"
