"""One HTML page per run, and one per query. Each page is one file that needs no network."""
