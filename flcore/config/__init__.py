"""Reading what a site's config says: strictly, and saying all that is wrong at once."""
