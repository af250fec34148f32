"""What the lives share."""

from ..hasty_hosts import hosts

__all__ = ["hosts"]
