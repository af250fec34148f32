"""Job metadata as this package and as NVIDIA FLARE itself understand them, beside each other."""
