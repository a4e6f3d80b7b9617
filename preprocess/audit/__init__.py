"""Checks before training: coverage, words against labels, calibration, pictures."""
