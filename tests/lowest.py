"""An environment with the lowest versions that `setup.cfg` lets the core run with: `make test-lowest` tests in it."""

from __future__ import annotations

from configparser import ConfigParser

from tests.environments import ROOT, environment


def lowest() -> list[str]:
    """Return the requirements of the core, each as its lowest version."""
    config = ConfigParser()
    config.read(ROOT / "setup.cfg")
    return [line.replace(" >= ", "==") for line in config["options"]["install_requires"].split("\n") if line]


if __name__ == "__main__":
    print(environment(ROOT / "build/lowest", *lowest(), "pytest", "hypothesis"))
