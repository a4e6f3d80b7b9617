"""The simulated rooms: random furnished scenes, a hand-held RGB-D camera, files in ScanNet's layout."""
