"""`make demo`: three methods on the same labelled scans, one question in words, and a page about them."""
