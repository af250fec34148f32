"""What a job can reach: tried by a container like a job's, and told."""
