"""Look before you train: coverage, truth of the words, calibration, pictures."""
