"""Empty rendered scenes: ground, buildings, water, leaves, furniture."""
