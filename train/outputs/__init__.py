"""What a finished run gives away: submission files, coloured clouds, answers to queries."""
