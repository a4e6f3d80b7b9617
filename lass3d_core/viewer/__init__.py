"""The point-cloud viewer of every HTML page: one template, one style, one script, no network."""
