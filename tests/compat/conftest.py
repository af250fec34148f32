"""The adapter's own tests import NVIDIA FLARE, so its interpreter runs them; the federations are driven by ours."""

from __future__ import annotations

from importlib.util import find_spec

collect_ignore = [] if find_spec("nvflare") else ["adapter"]
