"""Every detector on the same folds: ours, its rivals, and the tables that compare them."""
