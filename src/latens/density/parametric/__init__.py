"""Maximum likelihood of a family: which family, its parameters, and whether it fits."""
