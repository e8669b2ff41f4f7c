"""Every machine id of a data set: its job, and the summary of all outcomes."""
