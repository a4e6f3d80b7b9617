"""Parts of methods: what several share, and what is our extension. A part imports no method."""
