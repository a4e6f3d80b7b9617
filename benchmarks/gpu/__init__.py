"""Stages of benchmarks/gpu_check.py, which checks and measures a GPU."""
