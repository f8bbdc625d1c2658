"""One file per family of methods; their knobs stand in recipes.py."""
