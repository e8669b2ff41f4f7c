from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from audio_anomaly_detector.config import DEFAULT_PRESET, PRESETS, Config, load_config, parse_config
from audio_anomaly_detector.errors import UserError


def paths(kind: type[BaseModel] = Config, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every section and setting by its full name, with its type."""
    for name, field in kind.model_fields.items():
        path, annotation = f"{prefix}{name}", field.annotation
        yield path, annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield from paths(annotation, f"{path}.")


PATHS = dict(paths())
SECTIONS = [p for p, a in PATHS.items() if isinstance(a, type) and issubclass(a, BaseModel)]


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


def test_the_default_preset(tmp_path: Path) -> None:
    assert load_config().preset == DEFAULT_PRESET == "instant"
    file = tmp_path / "my.yaml"
    file.write_text("preset: paper\n")
    assert load_config(None, file).preset == "paper"


def test_a_preset_that_is_set_brings_its_values() -> None:
    assert load_config("small", overrides=["preset=base"]) == load_config("base")


@pytest.mark.parametrize("value", ["5", "text", "[1, 2]", "null", "true"])
@pytest.mark.parametrize("section", SECTIONS)
def test_a_value_in_place_of_a_section(section: str, value: str, tmp_path: Path) -> None:
    tree = yaml.safe_load(value)
    for key in reversed(section.split(".")):
        tree = {key: tree}
    file = tmp_path / "my.yaml"
    file.write_text(yaml.safe_dump(tree))
    for arguments in ((None, None, [f"{section}={value}"]), (None, file, [])):
        with pytest.raises(UserError) as caught:
            load_config(*arguments)
        message = str(caught.value)
        assert "\n" not in message
        assert f"setting '{section}' = " in message
        for held in PATHS[section].model_fields:
            assert held in message


NOT_PLAIN = ({"a": 1}, [[1]], [{"a": [2]}], {1: 2}, {"": None}, {"a": {"b": {"c": 1}}})


@pytest.mark.parametrize("path", PATHS)
def test_a_wrong_kind_of_value_is_one_line(path: str) -> None:
    for value in NOT_PLAIN:
        with pytest.raises(UserError) as caught:
            load_config(overrides=[f"{path}={yaml.safe_dump(value, default_flow_style=True)}"])
        assert "\n" not in str(caught.value)
        # A preset is named by a message of its own.
        assert f"'{path}" in str(caught.value) or path == "preset"


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.dates()
trees = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*Config.model_fields, "n_mels", "views", 3, ""]), inner)
    ),
    max_leaves=6,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from([*Config.model_fields, "other"]), trees, max_size=4))
def test_any_content_of_a_file_is_a_config_or_one_line(
    tmp_path_factory: pytest.TempPathFactory, content: dict[str, Any]
) -> None:
    file = tmp_path_factory.mktemp("any") / "my.yaml"
    file.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    try:
        load_config(None, file)
    except UserError as error:
        assert "\n" not in str(error)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(sorted(PATHS)), st.text(max_size=12))
def test_any_text_as_a_setting_is_a_config_or_one_line(path: str, text: str) -> None:
    try:
        load_config(overrides=[f"{path}={text}"])
    except UserError as error:
        assert "\n" not in str(error)


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


@pytest.mark.parametrize(
    "setting",
    [
        "logmel.n_fft=1073741824",
        "logmel.hop_length=1",
        "scoring.views=1000000",
        "audio.length=1000000000000",
        "audio.sample_rate=1000000000",
        "audio.equalised_rms=.inf",
        "transformer.width=1000000",
        "transformer.depth=1000000",
        "signals.packet_band_hz=1e-3",
        "vqvae.codes=1000000000",
        "scoring.threshold.gamma_shape=.nan",
    ],
)
def test_settings_that_no_computer_can_hold_are_refused(setting: str) -> None:
    with pytest.raises(UserError, match=r"setting|more than|narrow"):
        load_config("small", overrides=[setting])
