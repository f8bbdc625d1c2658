"""The only rooms that know napari, magicgui and Qt."""
