"""Pictures and sounds: real files of known classes, and files that are broken in every way."""

from __future__ import annotations

import contextlib
import io
import os
import struct
import wave
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kg_builders import InputError
from kg_builders.encoders import UnreadableError, create_encoder, encode_items
from kg_builders.encoders.inputs import files_from_field, files_of_folder
from kg_builders.encoders.pictures import open_picture
from kg_builders.neighbours import nearest_neighbours, unit_rows
from kg_builders.sources import ItemRecords

COLOURS = [(200, 40, 40), (40, 160, 60), (50, 70, 200), (210, 190, 50)]


def agreement(matrix: np.ndarray, classes: list[int], k: int = 5) -> float:
    row, neighbour, _ = nearest_neighbours(*unit_rows(matrix, True), k)
    labels = np.array(classes)
    return float(np.mean(labels[row] == labels[neighbour]))


def draw(rng: np.random.Generator, colour: int, texture: int) -> Any:
    from PIL import Image

    height, width = (int(size) for size in rng.integers(90, 200, 2))
    y, x = np.mgrid[:height, :width]
    frequency, phase = rng.uniform(0.25, 0.35), rng.uniform(0, 6)
    stripes = [np.sin(frequency * x + phase), np.sin(frequency * y + phase), rng.normal(size=x.shape)]
    values = np.array(COLOURS[colour]) * (0.7 + 0.3 * stripes[texture][..., None])
    values += rng.normal(0, 12, values.shape)
    return Image.fromarray(values.clip(0, 255).astype(np.uint8))


def write_wav(path: Path, samples: np.ndarray, rate: int = 22_050, channels: int = 1) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((samples * 32_000).astype("<i2").tobytes())


def png_claiming(width: int, height: int) -> bytes:
    """Return a small PNG file that says how large it is and would decompress to zeros for ever."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1_000_000))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


class TestPictures:
    @pytest.fixture(autouse=True)
    def _library(self) -> None:
        pytest.importorskip("skimage", reason="the extra 'image' is not installed")

    def test_neighbours_share_colour_and_texture(self, tmp_path: Path) -> None:
        rng = np.random.default_rng(0)
        classes = rng.integers(0, (4, 3), (60, 2))
        for number, (colour, texture) in enumerate(classes.tolist()):
            draw(rng, colour, texture).save(tmp_path / f"p{number}.{'png' if number % 2 else 'JPG'}", None)
        ids = [f"p{number}" for number in range(60)]
        result = encode_items(None, ids, "picture-descriptor", tmp_path / "out", folder=tmp_path)
        matrix = np.load(result.path)
        assert (matrix.shape, result.record.missing) == ((60, 282), 0)
        # About four others share a colour and a texture, so no more than three neighbours are asked for.
        assert agreement(matrix, classes[:, 0].tolist(), 3) > 0.9
        assert agreement(matrix, classes[:, 1].tolist(), 3) > 0.9
        weights = {"colour": 0.0, "gradients": 0.0}
        plain = create_encoder("picture-descriptor", weights).encode([tmp_path / "p1.png"]).matrix
        assert not plain[:, :126].any()
        assert plain[:, 126:154].any()
        np.testing.assert_allclose(np.linalg.norm(plain), 1, atol=1e-6)

    def test_colours_of_a_plain_picture(self, tmp_path: Path) -> None:
        from PIL import Image

        Image.new("RGB", (40, 50), (255, 0, 0)).save(tmp_path / "red.png")
        row = create_encoder("picture-descriptor").encode([tmp_path / "red.png"]).matrix[0]
        # Hue 0, full saturation and value: one bin holds everything.
        assert np.flatnonzero(row[:72]).tolist() == [8]
        grid = row[72:126].reshape(9, 6)
        assert (grid[:, 0] > 0).all()
        assert not grid[:, 1:].any()
        assert not row[154:].any()

    @pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA", "CMYK", "I", "I;16", "F"])
    def test_modes_become_rgb(self, tmp_path: Path, mode: str) -> None:
        from PIL import Image

        suffix = "tif" if mode in ("CMYK", "F", "I") else "png"
        if mode == "I;16":
            image = Image.fromarray(np.arange(4096, dtype=np.uint16).reshape(64, 64) * 10)
        else:
            image = Image.new("L", (64, 64), 90).convert(mode)
        image.save(tmp_path / f"a.{suffix}")
        opened = open_picture(tmp_path / f"a.{suffix}")
        assert (opened.mode, opened.size) == ("RGB", (64, 64))
        if mode in ("L", "P", "LA", "RGBA", "CMYK"):
            assert abs(np.asarray(opened).astype(int) - 90).max() <= 1

    def test_transparent_parts_are_white_and_pictures_stand_upright(self, tmp_path: Path) -> None:
        from PIL import Image

        Image.new("RGBA", (32, 32), (9, 9, 9, 0)).save(tmp_path / "clear.png")
        assert (np.asarray(open_picture(tmp_path / "clear.png")) == 255).all()
        turned = Image.new("RGB", (40, 20))
        exif = turned.getexif()
        exif[0x0112] = 6
        turned.save(tmp_path / "turned.jpg", exif=exif)
        assert open_picture(tmp_path / "turned.jpg").size == (20, 40)

    def test_broken_files_are_marked_and_told(self, tmp_path: Path) -> None:
        whole = io.BytesIO()
        draw(np.random.default_rng(0), 0, 0).save(whole, "PNG")
        (tmp_path / "good.png").write_bytes(whole.getvalue())
        (tmp_path / "good2.png").write_bytes(whole.getvalue())
        (tmp_path / "truncated.png").write_bytes(whole.getvalue()[: len(whole.getvalue()) // 2])
        (tmp_path / "text.png").write_text("this is no picture")
        (tmp_path / "empty.png").write_bytes(b"")
        (tmp_path / "bomb.png").write_bytes(png_claiming(60_000, 60_000))
        (tmp_path / "large.png").write_bytes(png_claiming(9_000, 9_000))
        (tmp_path / "folder.png").mkdir()
        os.mkfifo(tmp_path / "pipe.png")
        ids = ["good", "truncated", "text", "empty", "bomb", "large", "folder", "pipe", "absent", "good2"]
        result = encode_items(None, ids, "picture-descriptor", tmp_path / "out", folder=tmp_path)
        reasons = {problem.id: problem.reason for problem in result.record.problems}
        assert list(reasons) == ids[1:9]
        assert reasons["text"].startswith("no picture of the kinds PNG")
        assert "truncated" in reasons["truncated"]
        assert reasons["bomb"] == "has more than 50,000,000 pixels"
        assert reasons["large"] == "has 9000 x 9000 pixels, more than 50,000,000"
        assert (reasons["pipe"], reasons["absent"]) == ("no such file", "no picture")
        assert "8 items without are filled with the mean" in result.sentence()
        matrix = np.load(result.path)
        np.testing.assert_array_equal(matrix[0], matrix[9])
        np.testing.assert_allclose(matrix[1:9], np.repeat(matrix[:1], 8, axis=0), atol=1e-6)
        # What was filled in has no neighbours.
        _, usable = unit_rows(matrix, False, result.record.missing_mask())
        assert np.flatnonzero(usable).tolist() == [0, 9]

    @given(st.sampled_from(["PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP"]), st.data())
    @settings(max_examples=150, deadline=None)
    def test_no_change_of_bytes_crashes(
        self, tmp_path_factory: pytest.TempPathFactory, kind: str, data: Any
    ) -> None:
        from PIL import Image

        buffer = io.BytesIO()
        Image.fromarray(np.arange(768, dtype=np.uint8).reshape(16, 16, 3)).save(buffer, kind)
        content = bytearray(buffer.getvalue())
        for _ in range(data.draw(st.integers(1, 6))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        path = tmp_path_factory.getbasetemp() / "changed"
        path.write_bytes(content[: data.draw(st.integers(1, len(content)))])
        with contextlib.suppress(UnreadableError):
            assert open_picture(path, 64, 100_000).mode == "RGB"


class TestFiles:
    def test_a_file_an_item(self, tmp_path: Path) -> None:
        for name in ("a.png", "b.JPEG", "c.txt", "x%2Fy.gif", "n.o.t.png"):
            (tmp_path / name).touch()
        found = files_of_folder(tmp_path, ["b", "x/y", "c", "a", "n.o.t"], "image")
        names = [None if path is None else Path(path).name for path in found.values]
        assert names == ["b.JPEG", "x%2Fy.gif", None, "a.png", "n.o.t.png"]
        (tmp_path / "a.jpg").touch()
        with pytest.raises(InputError, match=r"both a.jpg and a.png are for item 'a'"):
            files_of_folder(tmp_path, ["a"], "image")
        with pytest.raises(InputError, match=r"none of its 6 files .* expected such as z.wav"):
            files_of_folder(tmp_path, ["z"], "sound")
        with pytest.raises(InputError, match="can't be read"):
            files_of_folder(tmp_path / "none", ["a"], "image")

    def test_paths_in_a_field_stay_in_their_folder(self, tmp_path: Path) -> None:
        base = tmp_path / "base"
        base.mkdir()
        (tmp_path / "secret.png").touch()
        (base / "link.png").symlink_to(tmp_path / "secret.png")
        given = ["in.png", "../secret.png", str(tmp_path / "secret.png"), "http://x/a.png", "link.png", None]
        given.append("a\0b")
        frame = pl.DataFrame({"id": [str(n) for n in range(7)], "path": given, "n": range(7)})
        records = ItemRecords(frame.with_columns(many=pl.concat_list(pl.lit(None, pl.Utf8), "path")))
        for field in ("path", "many"):
            inputs, problems = files_from_field(records, [str(n) for n in range(7)], field, base)
            assert [value is not None for value in inputs.values] == [True] + [False] * 6
            assert list(problems) == [1, 2, 3, 4, 6]
            assert problems[3] == "is a URL; expected a local file"
        with pytest.raises(InputError, match="field 'n' holds Int64; expected paths"):
            files_from_field(records, ["0"], "n", base)
        with pytest.raises(
            InputError, match="field 'path' gives no item a file, the first because it is a URL"
        ):
            files_from_field(records, ["3"], "path", base)
        with pytest.raises(InputError, match="no such folder"):
            files_from_field(records, ["0"], "path", base / "none")

    def test_hash_is_of_the_contents(self, tmp_path: Path) -> None:
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "a.png").write_bytes(b"same")
        hashes = [files_of_folder(tmp_path / name, ["a"], "image").content_hash() for name in ("one", "two")]
        assert hashes[0] == hashes[1]
        (tmp_path / "two" / "a.png").write_bytes(b"other")
        assert files_of_folder(tmp_path / "two", ["a"], "image").content_hash() != hashes[0]


class TestSounds:
    @pytest.fixture(autouse=True)
    def _library(self) -> None:
        pytest.importorskip("librosa", reason="the extra 'sound' is not installed")
        pytest.importorskip("soundfile", reason="the extra 'sound' is not installed")

    def test_neighbours_share_the_pitch(self, tmp_path: Path) -> None:
        rng = np.random.default_rng(0)
        pitches = rng.integers(0, 5, 60)
        for number, pitch in enumerate(pitches.tolist()):
            rate = int(rng.choice([16_000, 22_050, 44_100]))
            time = np.arange(int(rate * rng.uniform(0.3, 0.8))) / rate
            tone = 110 * 2**pitch * rng.uniform(0.97, 1.03)
            wave_form = sum(rng.uniform(0.2, 1) / h * np.sin(2 * np.pi * tone * h * time) for h in (1, 2, 3))
            wave_form = wave_form + rng.normal(0, 0.05, len(time))
            loudness = rng.uniform(0.1, 0.9) / np.abs(wave_form).max()
            write_wav(tmp_path / f"s{number}.wav", loudness * wave_form, rate)
        ids = [f"s{number}" for number in range(60)]
        result = encode_items(None, ids, "log-mel", tmp_path / "out", folder=tmp_path)
        matrix = np.load(result.path)
        assert (matrix.shape, result.record.missing) == ((60, 192), 0)
        assert agreement(matrix, pitches.tolist()) > 0.9

    def test_loudness_does_not_matter_and_a_tone_is_in_its_band(self, tmp_path: Path) -> None:
        import librosa

        time = np.arange(22_050) / 22_050
        for name, scale in (("quiet", 0.1), ("loud", 0.9)):
            write_wav(tmp_path / f"{name}.wav", scale * np.sin(2 * np.pi * 1000 * time))
        encoder = create_encoder("log-mel")
        rows = encoder.encode([tmp_path / "quiet.wav", tmp_path / "loud.wav"]).matrix
        bands = librosa.mel_frequencies(n_mels=66, fmax=11_025)[1:-1]
        for row in rows:
            assert abs(bands[int(row[:64].argmax())] - 1000) < 60
        np.testing.assert_allclose(rows[0, :64].argmax(), rows[1, :64].argmax())

    def test_broken_files_are_marked_and_told(self, tmp_path: Path) -> None:
        import soundfile

        tone = 0.5 * np.sin(np.arange(11_025))
        write_wav(tmp_path / "good.wav", tone)
        write_wav(tmp_path / "stereo.wav", np.repeat(tone, 2), channels=2)
        write_wav(tmp_path / "short.wav", tone[:3])
        write_wav(tmp_path / "empty.wav", tone[:0])
        write_wav(tmp_path / "silent.wav", 0 * tone)
        write_wav(tmp_path / "slow.wav", tone, rate=1)
        (tmp_path / "text.wav").write_text("this is no sound")
        (tmp_path / "nothing.wav").write_bytes(b"")
        whole = (tmp_path / "good.wav").read_bytes()
        (tmp_path / "header.wav").write_bytes(whole[:30])
        soundfile.write(tmp_path / "nan.wav", np.array([0.1, np.nan] * 500), 22_050, subtype="FLOAT")
        soundfile.write(tmp_path / "packed.flac", tone, 22_050)
        names = ["good", "stereo", "short", "packed"]
        names += ["empty", "silent", "slow", "text", "nothing", "header", "nan", "absent"]
        result = encode_items(None, names, "log-mel", tmp_path / "out", folder=tmp_path)
        reasons = {problem.id: problem.reason for problem in result.record.problems}
        assert list(reasons) == names[4:]
        assert reasons["empty"] == "holds no samples"
        assert reasons["silent"] == "is silent"
        assert reasons["slow"] == "says it has 1 samples a second"
        assert reasons["nan"] == "holds samples that are not finite numbers"
        assert str(tmp_path) not in reasons["text"]
        matrix = np.load(result.path)
        np.testing.assert_array_equal(matrix[0], matrix[1])
        np.testing.assert_allclose(matrix[0], matrix[3], atol=0.05)

    def test_no_more_than_asked_is_heard(self, tmp_path: Path) -> None:
        rng = np.random.default_rng(0)
        beginning = np.sin(np.arange(22_050) / 9) / 2
        write_wav(tmp_path / "a.wav", beginning)
        write_wav(tmp_path / "b.wav", np.concatenate([beginning, rng.uniform(-1, 1, 22_050)]))
        rows = create_encoder("log-mel", {"max_seconds": 1}).encode([tmp_path / "a.wav", tmp_path / "b.wav"])
        np.testing.assert_array_equal(rows.matrix[0], rows.matrix[1])
