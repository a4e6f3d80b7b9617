"""nuScenes with lidarseg labels."""
