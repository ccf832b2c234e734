"""One export: request, files, manifest, parity."""
