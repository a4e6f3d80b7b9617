"""The command line of `python -m train`: its flags. train/__main__.py holds what each command does."""
