"""Results of a finished run: submission files, coloured point clouds, answers to queries."""
