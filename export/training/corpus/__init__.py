"""Scenes rendered once for many trainings."""
