"""Beginning: `flcore init` makes a site's config, a job and a component, for what this machine has."""
