"""The networks and their front end: log-mel, DeSpaWN, masked transformer, VQ-VAE fusion.

They know tensors, never files.
"""
