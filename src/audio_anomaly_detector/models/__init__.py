"""The networks and their front end: log-mel, DeSpaWN, masked transformer, VQ-VAE fusion.

They use tensors only, never files.
"""
