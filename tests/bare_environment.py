"""An environment that has what is built of this checkout, and of other packages only what that needs to run."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

NEEDED = ("blinker", "certifi", "charset_normalizer", "docker", "idna", "requests", "urllib3")
PYTEST = ("_pytest", "iniconfig", "packaging", "pluggy", "py", "pygments", "pytest")
"""What a component's author has beside it."""


def make(wheel: Path, folder: Path) -> Path:
    """Make it of the packages of the tests' own environment, without a package index; return its `bin`."""
    environment = folder / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    (packages,) = environment.glob("lib/python*/site-packages")
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        if path.name.partition("-")[0].partition(".")[0].lower() in (*NEEDED, *PYTEST):
            (packages / path.name).symlink_to(path)
    python = environment / "bin/python"
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "-q", "--no-index", str(wheel)]
    subprocess.run(install, check=True, capture_output=True, text=True)
    script = environment / "bin/pytest"
    script.write_text(f"#!{python}\nimport sys\n\nfrom pytest import console_main\n\nsys.exit(console_main())\n")
    script.chmod(0o755)
    return python.parent
