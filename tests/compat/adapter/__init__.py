"""Run by NVIDIA FLARE's interpreter: the adapter on its contexts and events, but on a fake runtime."""
