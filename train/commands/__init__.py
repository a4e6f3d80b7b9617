"""The command line of `python -m train`: its flags, and what each command does."""
