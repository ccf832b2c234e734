"""Picture files and folders of pictures."""
