"""What words mean: which classes a phrase names."""
