"""How many examples hypothesis makes up for a property that does not say it itself."""

from hypothesis import settings

from ..thoroughness import tries

settings.register_profile("flcore", max_examples=tries(100), deadline=None)
settings.load_profile("flcore")
