"""The simulated street: random scenes, a spinning LiDAR, pinhole cameras, files in SemanticKITTI's layout."""
