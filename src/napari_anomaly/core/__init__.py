"""The headless core: images in, anomaly maps, scores and regions out. Knows neither napari nor Qt."""
