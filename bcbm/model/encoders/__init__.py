"""One encoder a modality."""
