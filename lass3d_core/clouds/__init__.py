"""Point-cloud files, one format a module."""
