"""Learns what happened to every job, and tells: handles, listeners, who waits."""
