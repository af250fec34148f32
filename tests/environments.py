"""Where tests run: this checkout, and virtual environments of other frameworks' packages, which must not be in ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

from flcore.disk.locks import exclusively

ROOT = Path(__file__).resolve().parents[1]


def demo_config(site: str, folder: Path) -> str:
    """Return a copy of a demo's config whose workspace is in a folder: not everybody may write to this checkout."""
    original = ROOT / f"configs/docker/{site}.json"
    config = json.loads(original.read_text().replace("${CONFIG_DIR}", str(original.parent)))
    copy = folder / original.name
    copy.write_text(json.dumps(config | {"workspace": str(folder / site)}))
    return str(copy)


def environment(folder: Path, *requirements: str) -> Path:
    """Return the interpreter of an environment with these packages; make it if it is missing, which takes minutes."""
    installed, wanted = folder / "installed", f"{requirements} {_own_options()}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with exclusively(folder.with_name(f"{folder.name}.lock"), os.O_RDWR | os.O_CREAT):  # tests share it
        if not installed.exists() or installed.read_text() != wanted:
            print(f"installing {' '.join(requirements)} in {folder.relative_to(ROOT)}", file=sys.stderr, flush=True)
            subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
            subprocess.run([folder / "bin/python", "-m", "pip", "install", "-qq", *requirements], check=True, cwd=ROOT)
            installed.write_text(wanted)
    return folder / "bin/python"


def _own_options() -> dict[str, dict[str, str]]:
    """Return what of this checkout an installation in place learns once: its requirements, its commands."""
    setup = ConfigParser(interpolation=None)
    setup.read(ROOT / "setup.cfg")
    return {name: dict(setup[name]) for name in setup.sections() if name.startswith("options")}
