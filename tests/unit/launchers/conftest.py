"""What the tests of sites to which something happens share."""

from ...hasty_hosts import hosts

__all__ = ["hosts"]
