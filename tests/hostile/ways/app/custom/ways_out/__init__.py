"""The hostile job: ``python -m ways_out``."""
