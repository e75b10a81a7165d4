"""A decoder of several tasks: trained behind codecs that stay, stored with them, from streams to predictions."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from configs.dora_icm import joint
from icm_jax import cli
from icm_jax.data.image_io import write_image
from icm_jax.errors import IcmError
from icm_jax.evaluate.subjects import load_subjects
from icm_jax.joint_decoder import JointDecoder
from icm_jax.pretrained import dora_icm, joint_decoder, store
from icm_jax.train import loop
from icm_jax.train.registry import parse
from tests.test_task_codec import TINY, picture, trained
from tests.tiny_dora import random_model


@pytest.fixture(scope="module")
def codecs(tmp_path_factory) -> Path:
    """Codecs of normals and depth on one backbone."""
    root = tmp_path_factory.mktemp("codecs")
    params, batch_stats = trained()
    dora_icm.write_backbone(root / "backbone.safetensors", params["backbone"], {})
    for task, spec in (("normals", TINY), ("depth", dataclasses.replace(TINY, outputs=1))):
        own, statistics = (params, batch_stats) if task == "normals" else random_model(spec)
        own = {**own, "backbone": params["backbone"]}
        facts = {"task": task}
        store.save(dora_icm.to_stored(task, 1, 0.1, spec, own, statistics, facts), root / task)
    return root


def config_of(codecs: Path):
    config = joint.get_config("small")
    tasks = ("normals", "depth")
    config.joint.update(
        tasks=tasks,
        codecs=tuple(str(codecs / task) for task in tasks),
        backbone=str(codecs / "backbone.safetensors"),
    )
    config.decoder.update(widths=(16, 8), heads=2)
    config.data.update(count=4, size=64, batch_size=2)
    config.optim.update(total_steps=1, warmup_steps=0)
    config.checkpoint.every_steps = config.log.every_steps = 1
    return config


def test_from_training_to_files(codecs: Path, tmp_path: Path, capsys) -> None:
    state = loop.train(config_of(codecs), tmp_path / "run")
    assert int(state.step) == 1 and set(state.params) == {"decoder"}
    folder = tmp_path / "run" / "codecs" / "joint"
    stored = joint_decoder.load(folder)
    assert {task: codec.hash for task, codec in stored.codecs.items()} == {
        task: store.load(codecs / task).hash for task in ("normals", "depth")
    }
    photo = tmp_path / "photo.png"
    write_image(photo, picture(64, 64))
    for task in stored.codecs:
        arguments = ["compress", photo, "-c", folder, "--task", task, "-o", tmp_path / "coded" / task]
        assert cli.main([str(argument) for argument in arguments]) == 0
    assert cli.main(["decompress", str(tmp_path / "coded"), "-c", str(folder)]) == 0
    decoder = JointDecoder(stored)
    streams = {task: (tmp_path / "coded" / task / "photo.icm").read_bytes() for task in stored.codecs}
    predictions = decoder.decompress(streams)
    depth = np.load(tmp_path / "coded" / "depth" / "photo.npz")["prediction"]
    np.testing.assert_array_equal(depth, np.maximum(predictions["depth"][..., 0], 0))
    assert (tmp_path / "coded" / "normals" / "photo.preview.png").is_file()
    (subject,) = load_subjects([f"both={folder}"], "normals")
    data = subject.codec.compress(picture(64, 64))
    assert len(data) == sum(4 + len(stream) for stream in streams.values())
    np.testing.assert_array_equal(subject.codec.decompress(data), predictions["normals"])
    with pytest.raises(IcmError, match="does not predict semseg; it reads normals, depth"):
        load_subjects([str(folder)], "semseg-scenes")
    with pytest.raises(IcmError, match="no stream of depth"):
        decoder.decompress({"normals": streams["normals"]})
    capsys.readouterr()
    assert cli.main(["decompress", str(tmp_path), "-c", str(folder)]) == 2
    assert "holds no folder normals of streams" in capsys.readouterr().err


def test_what_does_not_fit_is_named(codecs: Path, tmp_path: Path) -> None:
    config = config_of(codecs)
    config.joint.tasks = ("depth", "normals")
    with pytest.raises(IcmError, match="predicts 3 channels, which is not depth"):
        parse(config)
    config.joint.tasks = ("normals",)
    with pytest.raises(IcmError, match=r"2 joint\.codecs for 1 joint\.tasks"):
        parse(config)
    params, batch_stats = trained()
    other = {**params, "backbone": {"a": np.ones(3, np.float32)}}
    strangers = {
        "normals": store.load(codecs / "normals"),
        "depth": dora_icm.to_stored("other", 1, 0.1, TINY, other, batch_stats),
    }
    with pytest.raises(IcmError, match="have different backbones"):
        joint_decoder.refuse_strangers(strangers)
