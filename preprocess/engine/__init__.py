"""Runs the shards of a stage: in this process, in several, or on a Ray cluster."""
