"""One run: its folder, checkpoints, log and surroundings, and several runs side by side."""
