"""Words that settings and options choose from and whose homes are slow to import.

Types alone: the command line checks options by them, and `aad --help` loads no PyTorch.
"""

from typing import Literal

Preset = Literal["instant", "small", "base", "paper"]
PoolScope = Literal["none", "machine", "all"]
RuntimeName = Literal["auto", "torch", "onnx"]
LayoutName = Literal["auto", "mimii", "dcase", "folder", "csv"]
Plots = Literal["all", "sheet", "none"]
FigureKind = Literal["pdf", "svg", "png"]
