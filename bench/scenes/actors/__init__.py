"""What moves through a rendered scene: people, vehicles, animals, things."""
