"""Program two: reads the pair shards and trains a segmenter that needs points alone."""
