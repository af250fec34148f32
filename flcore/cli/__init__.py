"""The ``flcore`` command."""

from .program import main as main
