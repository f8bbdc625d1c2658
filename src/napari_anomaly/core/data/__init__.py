"""Folders and image files in, datasets and splits out; masks; synthetic images."""
