"""How far long work is: a bar in a terminal, lines with a time stamp in a log file."""
