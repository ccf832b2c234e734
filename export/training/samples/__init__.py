"""Training samples: frame, cue and label, from rendered and scored sequences."""
