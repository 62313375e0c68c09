"""Encoders, fusion, trunk, a head a target, and their training."""
