"""`icm convert`: what a folder holds, the way back, and everything that can be wrong with a file."""

import json
from pathlib import Path

import jax
import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

from icm_jax.cli import main
from icm_jax.errors import IcmError
from icm_jax.pretrained.store import load as load_codec
from icm_jax.recognizers.detection.spec import TORCHVISION
from icm_jax.recognizers.registry import RECOGNIZERS, WEIGHTS_VARIABLE, load_recognizer
from tests.recognizers.small_detector import detectron2_shapes, random_state, small_spec, torchvision_shapes
from tests.recognizers.test_registry import small_resnet
from weights_convert import converted
from weights_convert.convert_command import convert_file
from weights_convert.keymap import ConversionError
from weights_convert.network_map import shapes_of
from weights_convert.sources import SOURCES, sources_of

GOLDEN = Path(__file__).parents[1] / "golden"
WEIGHTS = Path(__file__).parents[2].parent / "shared" / "weights"
REAL = {
    "torchvision-mobilenet-v2": "mobilenet_v2_imagenet",
    "edgenets": "espnetv2_s2.0_voc384",
    "u2net": "u2netp_saliency",
}


def tic() -> dict[str, np.ndarray]:
    """A small TIC with the buffers of a checkpoint."""
    with np.load(GOLDEN / "tic" / "tic_small_N32M48.npz") as archive:
        state = {name[3:]: archive[name] for name in archive.files if name.startswith("sd/")}
    return state | {"entropy_bottleneck.target": np.zeros(3, np.float32)}


def eva02(fused: bool) -> dict[str, np.ndarray]:
    """Two blocks of 64 channels: timm's fused names, or the original repository's separate ones."""
    rng, shapes = np.random.default_rng(0), {"cls_token": (1, 1, 64), "pos_embed": (1, 5, 64)}
    shapes |= {"patch_embed.proj.weight": (64, 3, 4, 4), "patch_embed.proj.bias": (64,), "head.bias": (7,)}
    for block in ("blocks.0.", "blocks.1."):
        norms = [f"{block}norm{i}.{part}" for i in (1, 2) for part in ("weight", "bias")]
        shapes |= {name: (64,) for name in (*norms, f"{block}attn.q_bias", f"{block}attn.v_bias")}
        shapes |= {f"{block}attn.proj.weight": (64, 64), f"{block}attn.proj.bias": (64,)}
        gate, value = (f"{block}mlp.{name}." for name in ("w1", "w2"))
        if fused:
            shapes |= {f"{block}attn.qkv.weight": (192, 64)}
            shapes |= {f"{block}mlp.fc1.weight": (340, 64), f"{block}mlp.fc1.bias": (340,)}
            shapes |= {f"{block}mlp.fc2.weight": (64, 170), f"{block}mlp.fc2.bias": (64,)}
        else:
            shapes |= {f"{block}attn.{kind}_proj.weight": (64, 64) for kind in "qkv"}
            shapes |= {f"{half}weight": (170, 64) for half in (gate, value)}
            shapes |= {f"{half}bias": (170,) for half in (gate, value)}
            shapes |= {f"{block}mlp.w3.weight": (64, 170), f"{block}mlp.w3.bias": (64,)}
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def written(path: Path, state: dict[str, np.ndarray]) -> Path:
    safetensors.numpy.save_file(state, path)
    return path


def assert_round_trip(state: dict[str, np.ndarray], folder: Path) -> None:
    """Every array that was used comes back as it was."""
    found = converted.read(folder)
    back = converted.to_reference(found)
    assert len(state) - len(back) == sum(found.manifest["dropped"].values())
    for name, array in back.items():
        np.testing.assert_array_equal(array, state[name], err_msg=name)


CASES = {
    "torchvision-resnet": small_resnet,
    "detectron2": lambda: random_state(detectron2_shapes(small_spec())),
    "torchvision-rcnn": lambda: random_state(torchvision_shapes(small_spec(TORCHVISION, 0))),
    "torchvision-vgg": lambda: {
        "features.0.weight": np.ones((4, 3, 3, 3), np.float32),
        "features.0.bias": np.zeros(4, np.float32),
        "features.3.weight": np.ones((6, 4, 3, 3), np.float32),
        "features.3.bias": np.zeros(6, np.float32),
        "classifier.0.bias": np.zeros(9, np.float32),
    },
    "eva02": lambda: eva02(fused=True),
    "tic": tic,
}


@pytest.mark.parametrize("source", CASES)
def test_there_and_back_is_the_identity(tmp_path: Path, source: str):
    state = CASES[source]()
    file = written(tmp_path / "weights.safetensors", state)
    models = {
        "torchvision-resnet": "resnet50",
        "detectron2": "mask-rcnn",
        "torchvision-rcnn": "faster-rcnn-torchvision",
    }
    arguments = ["convert", source, str(file), "-o", str(tmp_path / "out"), "--model", models.get(source, "")]
    assert main(arguments) == 0
    assert_round_trip(state, tmp_path / "out")
    assert list(sources_of(shapes_of(state))) == [source]
    assert (
        main(["convert", "--to-torch", str(tmp_path / "out"), "-o", str(tmp_path / "back.safetensors")]) == 0
    )
    assert safetensors.numpy.load_file(tmp_path / "back.safetensors").keys() <= state.keys()


@pytest.mark.parametrize("source", REAL)
def test_published_weights_survive(tmp_path: Path, source: str):
    file = WEIGHTS / f"{REAL[source]}.safetensors"
    if not file.is_file():
        pytest.skip(f"needs {file.name}")
    convert_file(source, file, tmp_path / "out")
    assert_round_trip(safetensors.numpy.load_file(file), tmp_path / "out")


def test_both_spellings_of_eva02_are_one_network(tmp_path: Path):
    state = eva02(fused=False)
    convert_file("eva02", written(tmp_path / "w.safetensors", state), tmp_path / "out")
    assert_round_trip(state, tmp_path / "out")


def test_norms_that_were_folded_come_back_neutral(tmp_path: Path):
    network = RECOGNIZERS["u2netp"].network
    image = jax.ShapeDtypeStruct((1, 64, 64, 3), np.float32)
    shapes = jax.eval_shape(network.init, jax.random.key(0), image)["params"]
    state = {}
    for stage, units in shapes.items():
        for unit, leaves in units.items() if "kernel" not in units else (("", units),):
            name = f"{stage}.{unit}.conv_s1" if unit else stage
            k, _, c_in, c_out = leaves["kernel"].shape
            state[f"{name}.weight"] = np.full((c_out, c_in, k, k), 0.5, np.float32)
            state[f"{name}.bias"] = np.ones(c_out, np.float32)
            if unit:
                norm = name.replace("conv_s1", "bn_s1")
                values = {"weight": 2.0, "bias": 0.25, "running_mean": 1.0, "running_var": 4.0}
                state |= {f"{norm}.{part}": np.full(c_out, v, np.float32) for part, v in values.items()}
    convert_file("u2net", written(tmp_path / "u2netp.safetensors", state), tmp_path / "out")
    found = converted.read(tmp_path / "out")
    back = converted.to_reference(found)
    assert back.keys() == state.keys()
    again, params = SOURCES["u2net"].map.convert(back)
    assert again == network
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), params, found.params)


def test_a_codec_folder_is_made(tmp_path: Path):
    file = written(tmp_path / "base_codec_3.safetensors", tic())
    assert (
        main(["convert", "tic", str(file), "-o", str(tmp_path / "out"), "--model", "tic", "--quality", "3"])
        == 0
    )
    codec = load_codec(tmp_path / "out" / "codec")
    assert (codec.name, codec.quality, codec.spec.N) == ("tic", 3, 32)
    assert codec.training["converted_from"] == file.name


def test_a_recogniser_loads_from_a_converted_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = written(tmp_path / "small.safetensors", small_resnet())
    with pytest.raises(ConversionError, match=r"resnet50 or resnet50-v2.*say which with --model"):
        convert_file("torchvision-resnet", file, tmp_path / "w" / "resnet50")
    assert (
        main(
            [
                "convert",
                "torchvision-resnet",
                str(file),
                "-o",
                f"{tmp_path}/w/resnet50",
                "--model",
                "resnet50",
            ]
        )
        == 0
    )
    expected = load_recognizer("resnet50", file)
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(tmp_path / "w"))
    for found in (load_recognizer("resnet50"), load_recognizer("resnet50", tmp_path / "w" / "resnet50")):
        assert found.network == expected.network
        jax.tree.map(np.testing.assert_array_equal, found.params, expected.params)
    with pytest.raises(IcmError, match="holds resnet50, not resnet50-v2; load it by that name"):
        load_recognizer("resnet50-v2", tmp_path / "w" / "resnet50")


def test_a_folder_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file, out = written(tmp_path / "u2netp.safetensors", tic()), tmp_path / "out"
    monkeypatch.setattr(converted, "write", lambda *_: (_ for _ in ()).throw(IcmError("disk full")))
    with pytest.raises(IcmError, match="disk full"):
        convert_file("tic", file, out)
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_outputs_in_the_way_are_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file, out = written(tmp_path / "vgg19.safetensors", CASES["torchvision-vgg"]()), tmp_path / "out"
    (tmp_path / "mine").mkdir()
    arguments = ["convert", "torchvision-vgg", str(file), "-o"]
    assert main([*arguments, str(tmp_path / "mine"), "-f"]) == 2
    assert "holds no converted weights" in capsys.readouterr().err
    assert main([*arguments, str(out)]) == 0
    assert main([*arguments, str(out)]) == 2
    assert "replace it with -f" in capsys.readouterr().err
    capsys.readouterr()
    assert main([*arguments, str(out), "-f", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["model"] == "vgg19"


def failing(tmp_path: Path, state: dict[str, np.ndarray], source: str = "tic") -> str:
    """The one-line error of converting these arrays."""
    with pytest.raises(IcmError) as caught:
        convert_file(source, written(tmp_path / "bad.safetensors", state), tmp_path / "out")
    assert not (tmp_path / "out").exists() and "\n" not in str(caught.value)
    return str(caught.value)


def test_missing_and_extra_arrays_are_counted_and_ten_are_named(tmp_path: Path):
    state = {name: array for name, array in tic().items() if "g_s" not in name or "norm" not in name}
    message = failing(tmp_path, state | {"surprise": np.zeros(3, np.float32)})
    missing = len(tic()) - len(state)
    assert f"differ in {missing + 1} place(s)" in message and f"and {missing - 9} more" in message
    assert message.count("; ") < 16 and "it fits no other source either" in message
    assert "no rule for surprise [3]" in failing(tmp_path, tic() | {"surprise": np.zeros(3, np.float32)})


@pytest.mark.parametrize("source", ["torchvision-resnet", "torchvision-vgg", "eva02", "tic"])
def test_a_file_fits_one_source(source: str):
    assert list(sources_of(shapes_of(CASES[source]()))) == [source]


def test_another_network_is_named(tmp_path: Path):
    assert "it fits source torchvision-resnet" in failing(tmp_path, small_resnet())
    message = failing(tmp_path, tic(), "transtic")
    assert "not the weights of TransTIC's prompts" in message and "it fits source tic" in message
    assert "it fits no other source either" in failing(tmp_path, {"x": np.zeros((), np.float32)})


def test_arrays_with_the_axes_of_others_are_refused(tmp_path: Path):
    broken = tic() | {"h_a0.weight": np.zeros((), np.float32)}
    assert "shapes fit no such network" in failing(tmp_path, broken)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(tmp_path: Path, value: float):
    state = tic()
    for name in ("g_a0.weight", "h_s1.bias"):
        state[name] = state[name].copy()
        state[name].flat[3] = value
    message = failing(tmp_path, state)
    assert "2 array(s) hold NaN or infinity: g_a/conv0/kernel, h_s/deconv1/bias" in message


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float64])
def test_other_precisions_are_converted_and_said(
    tmp_path: Path, dtype: type, capsys: pytest.CaptureFixture[str]
):
    state = {name: array.astype(dtype) for name, array in CASES["torchvision-vgg"]().items()}
    written(tmp_path / "vgg19.safetensors", state)
    arguments = [
        "convert",
        "torchvision-vgg",
        str(tmp_path / "vgg19.safetensors"),
        "-o",
        str(tmp_path / "out"),
    ]
    assert main(arguments) == 0
    assert f"5 arrays of {np.dtype(dtype).name} became float32" in capsys.readouterr().out
    assert all(leaf.dtype == np.float32 for leaf in jax.tree.leaves(converted.read(tmp_path / "out").params))


def test_truncated_files_are_refused(tmp_path: Path):
    file = written(tmp_path / "tic.safetensors", tic())
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ConversionError, match=r"can not be read as safetensors .*; fetch it again"):
        convert_file("tic", file, tmp_path / "out")


def test_a_missing_file_is_one_line_with_its_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = tmp_path / "det_2.pth.tar"
    assert main(["convert", "transtic", str(file), "-o", str(tmp_path / "out")]) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert f"no file {file}; place det_2.pth.tar of https://github.com/NYCU-MAPL/TransTIC" in message
    assert main(["convert", "nobody", str(file), "-o", str(tmp_path / "out")]) == 2
    assert "source 'nobody' is unknown; choose one of tic, " in capsys.readouterr().err


def test_damaged_folders_are_refused(tmp_path: Path):
    convert_file("tic", written(tmp_path / "tic.safetensors", tic()), tmp_path / "out")
    weights = tmp_path / "out" / converted.WEIGHTS
    data = bytearray(weights.read_bytes())
    data[-7] ^= 1
    weights.write_bytes(data)
    with pytest.raises(IcmError, match=r"weights have hash .* the manifest says"):
        converted.read(tmp_path / "out")
    weights.unlink()
    with pytest.raises(IcmError, match="no whole folder of converted weights"):
        converted.read(tmp_path / "out")


def test_sources_and_their_files_are_listed(capsys: pytest.CaptureFixture[str]):
    assert main(["convert"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(SOURCES)
    assert main(["convert", "detectron2"]) == 0
    assert "model_final_f10217.pkl" in capsys.readouterr().out
    assert main(["convert", "--to-torch", "nowhere", "-o", "x.safetensors"]) == 2
    assert "holds no converted weights" in capsys.readouterr().err


def test_every_source_knows_where_its_files_are():
    for source in SOURCES.values():
        assert source.published
        assert all(row.url.startswith("https://") and row.licence and row.file for row in source.published)
    listed = {row.model for source in SOURCES.values() for row in source.published}
    assert listed >= set(RECOGNIZERS)
