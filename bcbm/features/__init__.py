"""What a lesion looks like: radiomics and crops."""
