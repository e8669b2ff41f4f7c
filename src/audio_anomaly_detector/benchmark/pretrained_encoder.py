"""A baseline with outside data: nearest neighbours in an encoder pretrained on AudioSet."""

from importlib.util import find_spec
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from audio_anomaly_detector.benchmark.baseline import Baseline, RawScorer
from audio_anomaly_detector.data.audio import AudioConfig
from audio_anomaly_detector.scoring.calibration import Raw

WEIGHTS = "MIT/ast-finetuned-audioset-10-10-0.4593"
_FRAME, _HOP = 400, 160  # samples of the encoder's filter bank, 25 and 10 ms
_SPECIAL_TOKENS = 2  # class and distillation, before those of the patches


def missing() -> str | None:
    """Why this baseline cannot run, and what to do about it; none if it can."""
    if find_spec("transformers") is None:
        return "needs the extra 'encoder': pip install '.[encoder]'"
    from huggingface_hub import try_to_load_from_cache  # noqa: PLC0415

    if Path(WEIGHTS).is_dir() or try_to_load_from_cache(WEIGHTS, "model.safetensors"):
        return None
    return f"its weights are not on disk; fetch them with 'hf download {WEIGHTS}'"


class PretrainedEncoder(Baseline):
    """Distance to the nearest normal clip in the embeddings of each sub-band, mean over these.

    Source: the encoder is Gong et al., "AST: Audio Spectrogram Transformer", Interspeech 2021, with
    the weights that its authors trained on AudioSet; nothing is trained here. Nearest neighbours in
    the embeddings of such encoders: Saengthong and Shinozaki, "Deep generic representations for
    domain-generalized anomalous sound detection", 2024. Its patches are 16 mel bins high; those of
    one height are averaged over time, and each height is a sub-band with neighbours of its own.
    Windows of more than 10.24 s are cut there.
    """

    def __init__(self) -> None:
        from transformers import ASTFeatureExtractor, ASTModel  # noqa: PLC0415

        self.front_end = ASTFeatureExtractor.from_pretrained(WEIGHTS, local_files_only=True)
        self.encoder = ASTModel.from_pretrained(
            WEIGHTS, local_files_only=True, use_safetensors=True
        ).eval()

    def features(self, waveform: Tensor) -> Tensor:
        """Unit vectors ``(C, sub-bands, D)``."""
        config = self.encoder.config
        rate = AudioConfig().sample_rate
        mels = self.front_end(list(waveform.numpy()), sampling_rate=rate, return_tensors="pt")
        tokens = self.encoder(**mels).last_hidden_state[:, _SPECIAL_TOKENS:]  # (C, F * N, D)
        heights = (config.num_mel_bins - config.patch_size) // config.frequency_stride + 1
        patches = tokens.unflatten(1, (heights, -1))  # (C, F, N, D)
        frames = 1 + (waveform.shape[-1] - _FRAME) // _HOP
        # After these patches there is only padding.
        filled = max(1, (frames - config.patch_size) // config.time_stride + 1)
        return F.normalize(patches[:, :, :filled].mean(2), dim=-1)

    def fit(self, features: Tensor, seed: int) -> RawScorer:
        """Keep the normals' embeddings."""

        def score(others: Tensor) -> Raw:
            # Products of matrices would round away small distances between unit vectors.
            distances = torch.cdist(
                others.movedim(0, 2),
                features.movedim(0, 2),
                compute_mode="donot_use_mm_for_euclid_dist",
            )  # (C, F, m, n)
            return {"score": distances.amin(-1).mean(1).T.double().numpy()}

        return score
