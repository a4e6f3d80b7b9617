"""Deliberate faults: programs stopped at any moment, too little shared memory, files with a flipped byte.

`warm` starts the server that runs every program in a forked child. `project` is the tiny project that is
damaged. `kills`, `shared_memory` and `flips` damage it; `no_flock` is a file system without locks.
"""
