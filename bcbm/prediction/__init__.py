"""A trained model that leaves its run: on disk, and used on other patients."""
