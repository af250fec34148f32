"""Prints the weight in a file that PyTorch's persistor has written. Runs where PyTorch is."""

from __future__ import annotations

import sys

import torch

print(torch.load(sys.argv[1])["model"]["weight"].item())
