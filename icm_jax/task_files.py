"""Files to files for codecs of a task's features: images -> .icm -> prediction and preview.

DIR/codec.json          one codec                          --codec DIR
DIR/TASK/codec.json     several on one backbone            --codec DIR --task TASK
backbone.safetensors    in the codec's folder or one of the two above it; only compression needs it
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from icm_jax.batch import (
    Coded,
    Outcome,
    find_inputs,
    plan_outputs,
    read_stream,
    record,
    reporting,
    split_foreign,
)
from icm_jax.data.image_io import EXTENSIONS, read_image, write_bytes, write_image
from icm_jax.errors import IcmError
from icm_jax.joint_decoder import JointDecoder
from icm_jax.models.dora_icm.spec import DoraICMSpec
from icm_jax.models.registry import model_name
from icm_jax.pretrained import store
from icm_jax.pretrained.dora_icm import BACKBONE_FILE, read_backbone
from icm_jax.pretrained.joint_decoder import DECODER_FILE
from icm_jax.task_codec import TaskCodec
from icm_jax.tasks.predictions import prediction_file, prediction_suffix

PREVIEW = ".preview.png"


def find_task_codec(codec: str | None, task: str | None) -> Path | None:
    """The folder of a codec of features that `--codec` and `--task` name; None where they name none."""
    folder = Path(codec or "")
    places = [folder, *([folder / task] if task else [])]
    return next((place for place in places if codec and _holds_task_codec(place)), None)


def load_task_codec(
    folder: Path, task: str | None, backbone: Path | None, encodes: bool
) -> tuple[TaskCodec, str]:
    """The codec and the name of its task.

    Args:
        task: what it has to be for; None takes what the codec was trained for.
        backbone: a file; None looks where runs put it.
        encodes: whether the backbone is needed.

    Raises:
        IcmError: no backbone, another one than the codec's, or a codec of another task.
    """
    stored = store.load(folder)
    trained = str(stored.training.get("task", task or ""))
    if not trained or (task and task != trained):
        found = f"codes the features of {trained!r}" if trained else "does not say what it is for"
        raise IcmError(f"{folder} {found}; pass --task {trained or 'with the name of its task'}")
    weights = read_backbone(backbone or _find_backbone(folder)) if encodes else None
    return TaskCodec(stored, weights), trained


def compress_task_files(
    codec: TaskCodec, inputs: Sequence[str], output: Path | None, force: bool, convert_16bit: bool
) -> Outcome:
    """Compresses what the codec's task needs of every input."""
    jobs, failures = plan_outputs(find_inputs(inputs, EXTENSIONS), output, ".icm", (".icm",), force)
    done = []
    for source, target in tqdm(jobs, unit="image", disable=None if len(jobs) > 1 else True):
        with reporting(failures):
            image = read_image(source, convert_16bit)
            with reporting(failures, f"{source}: "):
                data = codec.compress(image)
                write_bytes(target, data)
                done.append(record(source, target, image.shape, len(data), *_identity(codec)))
    return Outcome(done, failures)


def decompress_task_files(
    codec: TaskCodec, task: str, inputs: Sequence[str], output: Path | None, force: bool
) -> Outcome:
    """Decodes every input to the prediction of its task, and a picture of it beside it, NAME.preview.png."""
    sources, foreign = split_foreign(find_inputs(inputs, (".icm",)))
    suffix = prediction_suffix(task)
    jobs, failures = plan_outputs(sources, output, suffix, (suffix,), force)
    failures += foreign
    done = []
    for source, target in tqdm(jobs, unit="image", disable=None if len(jobs) > 1 else True):
        with reporting(failures, f"{source}: "):
            data = read_stream(source)
            prediction = codec.decompress(data)
            _write(task, prediction, target)
            done.append(record(source, target, prediction.shape, len(data), *_identity(codec)))
    return Outcome(done, failures)


def find_joint_decoder(codec: str | None, task: str | None) -> Path | None:
    """The folder of a decoder of several tasks, where `--codec` names one and no single task is asked for."""
    folder = Path(codec or "")
    return folder if codec and not task and (folder / DECODER_FILE).is_file() else None


def decompress_joint_files(decoder: JointDecoder, coded: Path, output: Path | None, force: bool) -> Outcome:
    """Decodes CODED/TASK/NAME.icm of all tasks of every name to OUTPUT/TASK/NAME.png or .npz, and previews.

    Raises:
        IcmError: a folder of streams is missing.
    """
    tasks = list(decoder.codecs)
    for task in tasks:
        if not (coded / task).is_dir():
            raise IcmError(
                f"{coded}: holds no folder {task} of streams; the decoder reads {', '.join(tasks)}"
            )
    output = output or coded
    done: list[Coded] = []
    failures: list[str] = []
    for source in tqdm(find_inputs([str(coded / tasks[0])], (".icm",)), unit="image", disable=None):
        with reporting(failures, f"{source.name}: "):
            streams = {task: read_stream(coded / task / source.name) for task in tasks}
            for task, prediction in decoder.decompress(streams).items():
                target = output / task / source.with_suffix(prediction_suffix(task)).name
                if target.exists() and not force:
                    raise IcmError(f"{target} exists; pass --force to replace it, or -o for another place")
                target.parent.mkdir(parents=True, exist_ok=True)
                _write(task, prediction, target)
                size, codec = len(streams[task]), decoder.codecs[task]
                done.append(
                    record(coded / task / source.name, target, prediction.shape, size, *_identity(codec))
                )
    return Outcome(done, failures)


def _write(task: str, prediction: np.ndarray, target: Path) -> None:
    made = prediction_file(task, prediction)
    write_bytes(target, made.data)
    write_image(target.with_suffix(PREVIEW), made.preview)


def _identity(codec: TaskCodec) -> tuple[str, int]:
    return codec.stored.name, codec.stored.quality


def _holds_task_codec(folder: Path) -> bool:
    try:
        values = json.loads((folder / "codec.json").read_text())
    except (OSError, ValueError):  # what is damaged is named by `store.load`
        return False
    return bool(values.get("model", {}).get("name") == model_name(DoraICMSpec()))


def _find_backbone(folder: Path) -> Path:
    places = (folder, *folder.resolve().parents[:2])
    found = next((place / BACKBONE_FILE for place in places if (place / BACKBONE_FILE).is_file()), None)
    if found is None:
        raise IcmError(f"{folder}: no {BACKBONE_FILE} there or above it; name the codec's with --backbone")
    return found
