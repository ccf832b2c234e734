"""What each model is trained on: samples, losses, scores."""
