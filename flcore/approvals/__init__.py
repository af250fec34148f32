"""Which code may run at a site: what was asked for, who has approved it, and until when."""
