"""Precision, several processes, many tensors as one, and what makes the program wait for a GPU."""
