"""Every format on disk that both programs share: atomic writes, fingerprints, shards, text, masks."""
