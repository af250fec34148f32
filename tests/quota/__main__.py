"""`make test-quota`: the limits that file systems keep, tried on real ones. Its words are pytest's."""

from __future__ import annotations

import sys

from .machine import run

if __name__ == "__main__":
    try:
        sys.exit(run(sys.argv[1:]))
    except RuntimeError as error:
        sys.exit(f"tests.quota: {error}")
