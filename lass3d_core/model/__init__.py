"""The finished model: one file, one call, one command. It needs points, and neither program."""
