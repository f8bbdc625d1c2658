"""Networks in JAX: convolutions, blocks, losses and the one training loop."""
