"""Job launchers: components that start a job's process somewhere, watch it, and tell every other component."""
