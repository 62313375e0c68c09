"""Files, processes and content hashes."""
