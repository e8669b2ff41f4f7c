"""Every detector on the same folds: ours, the baselines, and the tables that compare them."""
