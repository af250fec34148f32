"""Where launchers run things. The only place that touches an engine."""
