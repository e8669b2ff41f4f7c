from pathlib import Path

import pytest

from audio_anomaly_detector.config import PRESETS, load_config, parse_config
from audio_anomaly_detector.errors import UserError


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_is_valid_and_survives_a_round_trip(preset: str) -> None:
    config = load_config(preset)
    assert parse_config(config.model_dump(mode="json")) == config


def test_the_paper_preset_has_the_documented_hyper_parameters() -> None:
    config = load_config("paper")
    assert (config.logmel.n_mels, config.logmel.n_fft, config.logmel.hop_length) == (64, 2048, 512)
    transformer = config.transformer
    assert (transformer.patch_mels, transformer.patch_frames) == (16, 16)
    assert (transformer.width, transformer.depth, transformer.heads) == (768, 12, 12)
    assert transformer.mask_ratio_low == transformer.mask_ratio_high == 0.75
    assert config.despawn.levels == 17
    vqvae = config.vqvae
    assert (vqvae.fusion_width, vqvae.latent_width, vqvae.codes) == (256, 128, 512)
    assert vqvae.commitment == 0.25
    stages = config.stages
    assert [stages.despawn.epochs, stages.transformer.epochs, stages.vqvae.epochs] == [100, 50, 100]


def test_overrides_win_over_options_over_file_over_preset(tmp_path: Path) -> None:
    file = tmp_path / "my.yaml"
    file.write_text("preset: base\nseed: 1\nscoring: {views: 2, folds: 3}\n")
    config = load_config(None, file, ["scoring.folds=5"], seed=7)
    assert config.preset == "base"
    assert (config.seed, config.scoring.views, config.scoring.folds) == (7, 2, 5)
    assert load_config("paper", file).preset == "paper"


def test_rate_and_mel_bins_are_said_once() -> None:
    config = load_config("small", overrides=["audio.sample_rate=48000", "logmel.n_mels=64"])
    assert config.logmel.sample_rate == 48_000
    assert config.transformer.n_mels == 64


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("scoring.vews=2", "unknown setting 'scoring.vews'; known here: families, views"),
        ("tempo=2", "unknown setting 'tempo'; known here: preset, seed, pool"),
        ("scoring.views=-1", "scoring.views"),
        ("scoring.views=many", "scoring.views"),
        ("scoring.families=[logmel,smell]", "families must be some of"),
        ("transformer.n_mels=32", "transformer.n_mels and logmel.n_mels differ"),
        ("scoring.views", "not of the form part.key=value"),
        ("seed=[", "not valid YAML"),
    ],
)
def test_a_wrong_setting_is_one_line_with_the_remedy(override: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        load_config("small", overrides=[override])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_preset_lists_the_known_ones() -> None:
    with pytest.raises(UserError, match="there are: instant, small, base, paper"):
        load_config("huge")


@pytest.mark.parametrize("content", ["- a\n- b\n", "a: [", "\x00\x01"])
def test_a_config_file_that_is_none(tmp_path: Path, content: str) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(content)
    with pytest.raises(UserError, match=r"bad\.yaml"):
        load_config("small", file)


def test_a_missing_config_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot read"):
        load_config("small", tmp_path / "none.yaml")


def test_a_pool_takes_no_oracle_epochs() -> None:
    with pytest.raises(UserError, match="one machine"):
        load_config("small", overrides=["pool=all", "stages.oracle_epoch=true"])
