"""What can be chosen of each method, one file per family. No JAX here."""
