"""The figures of docs/paper.md and docs/plus.md, drawn by `python docs/site/draw.py`."""
