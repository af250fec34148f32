"""What must outlive the site's process, on disk: the records of jobs, and who has which GPU."""
