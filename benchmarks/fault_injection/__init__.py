"""Deliberate faults: programs killed at any moment, files with a flipped byte.

`warm` starts the server that runs every program in a forked child. `project` is the tiny project that is
damaged. `kills` and `flips` damage it.
"""
