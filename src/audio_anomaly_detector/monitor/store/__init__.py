"""Events on disk: the database and the sound that belongs to them."""
