"""Families of components in words, for people who do not know them by name."""

_TITLES = {
    "spectrum": "level in narrow bands",
    "modulation": "how the sound swells and fades",
    "logmel": "overall sound colour",
    "envelope": "sharp peaks over time",
    "packet": "short events by band",
    "level": "loudness",
    "difference": "level differences between microphones",
    "coherence": "how alike the microphones are",
    "wavelet": "wavelet network",
    "masked": "masked transformer",
    "embedding": "transformer embedding",
    "vq": "VQ-VAE",
}


def family_title(family: str) -> str:
    """A family in words, with its name."""
    return f"{_TITLES[family]} ({family})"
