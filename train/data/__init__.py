"""From shards to batches: paired scans, augmentation, voxels, text rows."""
