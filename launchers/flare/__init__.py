"""What is NVIDIA FLARE's own: its kits, its job processes, its metadata."""
