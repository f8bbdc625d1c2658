"""Is it there? A classifier for one region of interest, from a handful of labelled pictures. No JAX here."""
