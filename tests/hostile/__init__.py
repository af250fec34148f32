"""Hostile jobs: a table, tried on a fake and on a real engine. ``python -m tests.hostile`` prints it."""
