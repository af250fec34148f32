"""A real NVIDIA FLARE federation, a server and two clients, whose jobs run by a launcher of one's choice."""
