"""Training a backbone on the machines of `synthesis.prior`: the recipe, its lessons, the run."""
