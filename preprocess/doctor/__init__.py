"""`make doctor`: a module for each thing that it looks at. packages.py runs when packages are broken."""
