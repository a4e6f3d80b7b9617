"""`data_manifest.yaml`: its schema, and its reading with every problem named."""
