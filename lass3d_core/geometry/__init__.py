"""Eq. (2): points into pixels, and which points a camera really sees."""
