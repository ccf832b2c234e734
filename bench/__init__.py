"""Speed, parity, accuracy, reports; rendered scenes with exact ground truth."""
