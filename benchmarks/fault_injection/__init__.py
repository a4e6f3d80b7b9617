"""Faults on purpose: programs that are killed at any moment, files whose bytes are flipped, cut or made up.

`warm` starts the server that runs every program in a forked child; `project` is the tiny project that is
harmed; `kills` and `flips` harm it; `mutants` makes damaged files of good ones.
"""
