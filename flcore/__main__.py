"""``python -m flcore`` is the ``flcore`` command."""

import sys

from .cli import main

sys.exit(main())
