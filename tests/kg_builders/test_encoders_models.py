"""Pretrained encoders with small models that are made here; skipped where their libraries are missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from kg_builders import InputError
from kg_builders.encoders import create_encoder, encode_items
from kg_builders.encoders.models import describe_model

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "rock", "jazz", "soul"]
TINY = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}


@pytest.fixture(scope="module")
def transformers() -> Any:
    return pytest.importorskip("transformers", reason="the extra 'text' is not installed")


@pytest.fixture(scope="module")
def vision_model(transformers: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vit")
    config = transformers.ViTConfig(**TINY, image_size=32, patch_size=8)
    # A classifier's checkpoint, as most are: it has no pooler.
    transformers.ViTForImageClassification(config).save_pretrained(folder)
    processor = transformers.models.vit.image_processing_pil_vit.ViTImageProcessorPil
    processor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    from PIL import Image

    folder = tmp_path / "pictures"
    folder.mkdir()
    for name, colour in (("a", "red"), ("b", "blue"), ("c", "red")):
        Image.new("RGB", (50, 40), colour).save(folder / f"{name}.png")
    (folder / "d.png").write_text("no picture")
    return folder


def test_pictures_by_a_local_model(vision_model: Path, pictures: Path, tmp_path: Path) -> None:
    given = {"model": str(vision_model), "batch_size": 2}
    results = [
        encode_items(None, list("abcd"), create_encoder("transformers-image", given), out, folder=pictures)
        for out in (tmp_path / "one", tmp_path / "two")
    ]
    # Loaded twice, the same bytes: no part of the model is random.
    assert results[0].path.read_bytes() == results[1].path.read_bytes()
    matrix = np.load(results[0].path)
    assert matrix.shape == (4, 16)
    np.testing.assert_allclose(matrix[0], matrix[2], atol=1e-6)
    assert np.abs(matrix[0] - matrix[1]).max() > 1e-3
    assert results[0].record.missing_rows == (3,)
    assert results[0].record.encoder["model"] == describe_model(str(vision_model))
    assert len(describe_model(str(vision_model))["hash"]) == 64


def test_a_model_without_all_its_weights_is_refused(
    transformers: Any, vision_model: Path, pictures: Path, tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "broken"
    folder.mkdir()
    for name in ("config.json", "preprocessor_config.json"):
        (folder / name).write_bytes((vision_model / name).read_bytes())
    weights = load_file(vision_model / "model.safetensors")
    first = sorted(key for key in weights if "layer" in key)[0]
    save_file(
        {k: v for k, v in weights.items() if k != first}, folder / "model.safetensors", {"format": "pt"}
    )
    with pytest.raises(InputError, match=r"lacks the weights '.*' and 0 more"):
        create_encoder("transformers-image", {"model": str(folder)}).encode([pictures / "a.png"])
    (folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"model '.*broken' can't be loaded \(.*\); expected a local folder"):
        create_encoder("transformers-image", {"model": str(folder)}).encode([pictures / "a.png"])


def test_texts_by_a_local_model(transformers: Any, tmp_path: Path) -> None:
    pytest.importorskip("sentence_transformers", reason="the extra 'text' is not installed")
    tokenizer = transformers.BertTokenizer(vocab={word: number for number, word in enumerate(WORDS)})
    tokenizer.save_pretrained(tmp_path / "bert")
    config = transformers.BertConfig(vocab_size=len(WORDS), **TINY)
    transformers.BertModel(config).save_pretrained(tmp_path / "bert")
    frame = pl.DataFrame({"id": list("abcd"), "t": ["rock jazz", None, "rock jazz", "soul"]})
    encoder = create_encoder("sentence-transformers", {"model": str(tmp_path / "bert")})
    result = encode_items(frame, None, encoder, tmp_path / "out", fields=["t"])
    matrix = np.load(result.path)
    assert matrix.shape == (4, 16)
    np.testing.assert_allclose(np.linalg.norm(matrix[[0, 2, 3]], axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(matrix[0], matrix[2], atol=1e-6)
    assert result.record.missing_rows == (1,)


def test_sounds_by_a_local_model(transformers: Any, tmp_path: Path) -> None:
    soundfile = pytest.importorskip("soundfile", reason="the extra 'sound' is not installed")
    pytest.importorskip("librosa", reason="the extra 'sound' is not installed")
    config = transformers.Wav2Vec2Config(
        **TINY,
        conv_dim=(8, 8),
        conv_kernel=(10, 8),
        conv_stride=(5, 4),
        num_feat_extract_layers=2,
        num_conv_pos_embeddings=4,
        num_conv_pos_embedding_groups=2,
    )
    transformers.Wav2Vec2Model(config).save_pretrained(tmp_path / "model")
    transformers.Wav2Vec2FeatureExtractor(sampling_rate=16_000).save_pretrained(tmp_path / "model")
    folder = tmp_path / "sounds"
    folder.mkdir()
    tone = 0.5 * np.sin(np.arange(8_000) / 5)
    for name, samples in (("a", tone), ("b", tone[:20]), ("c", 0 * tone), ("d", tone)):
        soundfile.write(folder / f"{name}.wav", samples, 16_000)
    encoder = create_encoder("transformers-sound", {"model": str(tmp_path / "model")})
    result = encode_items(None, list("abcd"), encoder, tmp_path / "out", folder=folder)
    matrix = np.load(result.path)
    assert matrix.shape == (4, 16)
    np.testing.assert_array_equal(matrix[0], matrix[3])
    assert [problem.reason for problem in result.record.problems] == ["is silent"]


@pytest.mark.parametrize("kind", ["timm", "torchvision"])
def test_a_library_that_is_missing_or_does_not_fit_is_told(kind: str, pictures: Path) -> None:
    try:
        import timm  # noqa: F401
        import torchvision  # noqa: F401
    except (ImportError, RuntimeError):
        with pytest.raises(InputError, match=r"needs .*pip install '\.\[image-models\]'"):
            create_encoder(kind).encode([pictures / "a.png"])
    else:
        pytest.skip("the extra 'image-models' is installed")


def test_models_and_devices_that_are_not_there(transformers: Any, pictures: Path) -> None:
    for place in ("./none", "/none", "~/none", "a/b/c"):
        with pytest.raises(InputError, match="no such file or folder; expected one, or the name at a hub"):
            create_encoder("transformers-image", {"model": place}).describe()
    with pytest.raises(InputError, match="device 'abacus' can't be used here"):
        create_encoder("transformers-image", {"device": "abacus"}).encode([pictures / "a.png"])
    with pytest.raises(InputError, match=r"none.safetensors: no such file"):
        create_encoder("torchvision", {"weights": "none.safetensors"}).describe()
