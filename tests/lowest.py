"""An environment with the lowest versions that `setup.cfg` lets the core, ssh and the pages run with."""

from __future__ import annotations

from configparser import ConfigParser

from tests.environments import ROOT, environment

EXTRAS = ("ssh", "web")


def lowest() -> list[str]:
    """Return the requirements of the core and these extras, each as its lowest version."""
    config = ConfigParser()
    config.read(ROOT / "setup.cfg")
    extras = config["options.extras_require"]
    needed = "\n".join([config["options"]["install_requires"], *(extras[name] for name in EXTRAS)])
    return [line.replace(" >= ", "==") for line in needed.split("\n") if line]


if __name__ == "__main__":  # for `make test-lowest`; by httpx an old starlette tests itself
    print(environment(ROOT / "build/lowest", *lowest(), "httpx", "pytest", "hypothesis"))
