"""One run as one self-contained HTML page: what ran, how it learnt, what it sees, and how to do it again."""
