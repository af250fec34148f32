"""Launches jobs, keeps the books, cleans up, and finds jobs again after this process's death."""
