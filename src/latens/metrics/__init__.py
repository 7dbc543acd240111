"""Judging a density: by its scores, by its latents, by its samples."""
