"""What a launcher's author tests with, beside ``flcore.testing``: so far the contract of runtimes. Needs pytest."""
