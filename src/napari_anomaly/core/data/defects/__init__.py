"""Defects planted into normal images: where, of what shape, of what kind, and the exact mask of what changed."""
