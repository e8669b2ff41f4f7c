"""Every machine id of a data set: jobs, the engines that run them, and the summary of their outcomes."""
