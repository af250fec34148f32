"""Components that watch a site's jobs: its journal, its figures, what its jobs use."""
