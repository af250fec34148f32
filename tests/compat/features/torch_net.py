"""A model of PyTorch with one weight, which is 0 at first. Custom code of a job."""

from __future__ import annotations

import torch


class Net(torch.nn.Linear):  # type: ignore[misc]  # its base is not there for mypy
    """Multiplies by its weight."""

    def __init__(self) -> None:
        super().__init__(1, 1, bias=False)
        torch.nn.init.zeros_(self.weight)
