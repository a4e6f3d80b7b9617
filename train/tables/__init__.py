"""The tables of the paper, and ours: the runs that each needs, and what they reached.

paper.py and ours.py hold the tables as data, made of rows.py; every.py finds one by its name. plan.py finds
the state of every run: records.py reads those that were recorded elsewhere. run_figures.py has the figures of
a run; figures.py collects the results, with statistics.py. markdown.py (with effort.py), csv_files.py,
plot.py and ratio_plot.py write them. command.py is `make table`.
"""
