"""Training: rendered and scored sequences to weights that `edgebs export` takes."""
