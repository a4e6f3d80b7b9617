"""The tables of the paper, and ours: the runs that each needs, and what they reached.

paper.py and ours.py hold the tables as data, made of rows.py; every.py finds one by its name. plan.py finds
the state of every run, pace.py estimates the time that is left. figures.py collects the results, with
statistics.py. markdown.py, csv_files.py and plot.py write them. command.py is `make table`.
"""
