"""Every table of the paper as one command: which runs it needs, those runs, and what they say.

paper.py and ours.py hold the tables as data, rows.py what a row is. plan.py finds out what there is to do,
pace.py how long it will take, figures.py what came of it by statistics.py; markdown.py, csv_files.py and
plot.py write it, command.py puts the parts together.
"""
