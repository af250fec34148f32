"""Files: of a site, kept apart from those that a job could have put in their place."""
