"""What ``flcore`` itself gives, each when somebody asks for it."""

from __future__ import annotations

from importlib.metadata import version

import pytest

import flcore
from flcore import errors

ERRORS = [name for name, found in vars(errors).items() if isinstance(found, type) and issubclass(found, Exception)]


@pytest.mark.parametrize("name", flcore.__all__)
def test_all_that_it_names_it_has(name: str) -> None:
    assert getattr(flcore, name).__name__ == name


@pytest.mark.parametrize("name", ERRORS)
def test_every_error_can_be_had_from_it(name: str) -> None:
    assert getattr(flcore, name) is getattr(errors, name)
    assert name in flcore.__all__


def test_its_version_is_the_one_that_is_installed() -> None:
    assert flcore.__version__ == version("flcore")
    assert "__version__" in dir(flcore)


def test_what_it_does_not_have_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'flcore' has no attribute 'JobRejectedErorr'"):
        flcore.JobRejectedErorr  # noqa: B018
