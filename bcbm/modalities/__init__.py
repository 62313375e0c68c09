"""What a lesion is described by."""
