"""The hostile job of ``tests/hostile/ways`` as one of NVIDIA FLARE's, by its own launcher for Docker, and by ours."""
