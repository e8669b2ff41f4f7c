"""What a backbone is taught, as terms of a loss.

Shapes: M machines with n normal clips each and a changed one, B = M (n + 1) clips in all, the
changed ones last; V visible patches of the transformer's P.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from audio_anomaly_detector.models.gaussian import bounded_log_variance, gaussian_nll
from audio_anomaly_detector.models.logmel import LogMel
from audio_anomaly_detector.models.networks import Networks, at_unit_level
from audio_anomaly_detector.pretraining.recipe import Lessons
from audio_anomaly_detector.pretraining.sounds import MachineSounds

# Of the machine in a bin, relative to all that is heard there: below the first it is not heard
# any more; above the second only phases add up so.
_LEAST_DB, _MOST_DB = -20.0, 5.0
_DB = 10.0  # one unit of that prediction
_PROJECTED = 64  # width of what clips are compared by
_TEMPERATURE = 0.1
_CROP = 32_768  # samples of a clip that DeSpaWN hears in a step


class FirstLessons(nn.Module):
    """DeSpaWN and transformer in training, with heads that only training needs.

    Args:
        networks: trained in place.
        logmel: the front end.
        lessons: weights.
    """

    def __init__(self, networks: Networks, logmel: LogMel, lessons: Lessons) -> None:
        super().__init__()
        config = networks.transformer.config
        self.despawn, self.transformer = networks.despawn, networks.transformer
        self.logmel, self.lessons = logmel, lessons
        bins = config.patch_mels * config.patch_frames
        self.machine = nn.Linear(config.width, 2 * bins)
        self.projection = nn.Sequential(
            nn.Linear(self.transformer.rows * config.width, config.width),
            nn.GELU(),
            nn.Linear(config.width, _PROJECTED),
        )

    def forward(self, sounds: MachineSounds, generator: torch.Generator) -> dict[str, Tensor]:
        """Weighted terms of the loss.

        Args:
            sounds: of a step.
            generator: source of all randomness (CPU).
        """
        clips = torch.cat([sounds.normal.flatten(0, 1), sounds.changed])  # (B, T)
        terms = self._despawn_terms(sounds, generator)
        logmel = at_unit_level(clips, self.logmel(clips))[1]
        transformer = self.transformer
        mask = transformer.random_mask(len(clips), logmel.shape[-1], generator=generator)
        output = transformer(logmel, mask)
        terms |= transformer.loss_terms(output, logmel)
        if self.lessons.hear_the_machine:
            # The log-mel of the machine at the level that it has within the recording.
            share = self.logmel(sounds.alone.flatten(0, 1)) - self.logmel(
                sounds.normal.flatten(0, 1)
            )
            normal = len(share)
            heard = self._machine_nll(output.latent[:normal], mask[:normal], share)
            terms["hear_the_machine"] = self.lessons.hear_the_machine * heard
        if self.lessons.same_machine:
            machines, each = sounds.normal.shape[:2]
            alike = self._same_machine(logmel, machines, each)
            terms["same_machine"] = self.lessons.same_machine * alike
        return terms

    def _despawn_terms(
        self, sounds: MachineSounds, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Reconstruct the machine, or the recording, from few coefficients of the recording."""
        spare = sounds.normal.shape[-1] - _CROP
        start = int(torch.randint(max(spare, 0) + 1, (), generator=generator))
        heard, alone = (
            part.flatten(0, 1)[:, start : start + _CROP] for part in (sounds.normal, sounds.alone)
        )
        output = self.despawn(heard)
        wanted = alone if self.lessons.keep_the_machine else heard
        losses = self.despawn.loss_terms(output, wanted)
        return {name: self.despawn.config.loss_weights[name] * losses[name] for name in losses}

    def _machine_nll(self, latent: Tensor, mask: Tensor, share_db: Tensor) -> Tensor:
        """Negative log-likelihood of the machine's own level in the visible bins, nats per bin.

        Args:
            latent: ``(b, V, D)`` encoded visible patches of normal clips.
            mask: ``(b, P)``, True = hidden.
            share_db: ``(b, F, N)`` of the machine in the recording.
        """
        config = self.transformer.config
        columns = self.transformer.columns(share_db.shape[-1])
        missing = columns * config.patch_frames - share_db.shape[-1]
        share = F.pad(share_db.clamp(_LEAST_DB, _MOST_DB) / _DB, (0, missing), value=torch.nan)
        share = share.unflatten(2, (columns, -1)).unflatten(1, (self.transformer.rows, -1))
        patches = share.transpose(2, 3).flatten(3).flatten(1, 2)  # (b, P, bins)
        visible = (~mask).to(patches.device)
        wanted = patches[visible].unflatten(0, latent.shape[:2])  # (b, V, bins)
        mean, raw = self.machine(latent).chunk(2, -1)
        log_variance = bounded_log_variance(raw, config.log_variance_bound)
        known = ~wanted.isnan()  # not beyond the end of the clip
        return gaussian_nll(mean.float()[known], log_variance[known], wanted[known]).mean()

    def _same_machine(self, logmel: Tensor, machines: int, each: int) -> Tensor:
        """Supervised contrastive loss: normal clips of a machine against all others.

        The changed clip of the machine itself is among the others.

        Source: Khosla et al., "Supervised contrastive learning", NeurIPS 2020, equation 2.
        """
        embedded = F.normalize(self.projection(self.transformer.embed(logmel).clip).float(), dim=-1)
        similar = embedded @ embedded.T / _TEMPERATURE  # (B, B)
        itself = torch.eye(len(similar), dtype=torch.bool, device=similar.device)
        log_share = similar - similar.masked_fill(itself, -torch.inf).logsumexp(1, keepdim=True)
        number = torch.arange(machines, device=similar.device).repeat_interleave(each)
        together = (number[:, None] == number) & ~itself[: len(number), : len(number)]
        return -log_share[: len(number), : len(number)][together].mean()


class CodeLessons(nn.Module):
    """The VQ-VAE in training, on outputs of the other two, now fixed.

    Args:
        networks: whose VQ-VAE is trained in place.
        logmel: the front end.
    """

    def __init__(self, networks: Networks, logmel: LogMel) -> None:
        super().__init__()
        self.vqvae = networks.vqvae
        self.fixed = [networks]  # in a list: its parameters are not this module's
        self.logmel = logmel

    def features(self, sounds: MachineSounds) -> tuple[Tensor, Tensor, Tensor]:
        """Bands, time embeddings and targets of the normal clips."""
        clips = sounds.normal.flatten(0, 1)
        return self.fixed[0].features(*at_unit_level(clips, self.logmel(clips)))[:3]

    def forward(self, sounds: MachineSounds, generator: torch.Generator) -> dict[str, Tensor]:
        """Weighted terms of the loss; arguments as of `FirstLessons`."""
        bands, time, targets = self.features(sounds)
        terms = self.vqvae.loss_terms(self.vqvae(bands, time), targets)
        return terms | {"commitment": self.vqvae.config.commitment * terms["commitment"]}
