"""Data sets: class folders, their checks, and bricks rendered from part geometry."""
