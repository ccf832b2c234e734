"""Files that appear whole or not at all, and files that can be made again."""
