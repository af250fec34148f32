"""Hostile jobs: a table of them as data, tried on a fake and on a real engine. ``python -m tests.hostile`` prints it."""
