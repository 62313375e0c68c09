"""Encoders, fusion, trunk, three heads and their training."""
