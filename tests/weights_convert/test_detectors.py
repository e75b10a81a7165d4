"""Key maps of detectors: every name of a file is used, old and new names are the same network."""

import jax
import numpy as np
import pytest

from icm_jax.recognizers.detection.spec import DETECTRON2, TORCHVISION
from tests.recognizers.small_detector import detectron2_shapes, random_state, small_spec, torchvision_shapes
from weights_convert import detectron2, torchvision_detection
from weights_convert.keymap import ConversionError, invert


@pytest.mark.parametrize("masks", [0, 6])
def test_detectron2(masks: int):
    spec = small_spec(DETECTRON2, masks)
    state = random_state(detectron2_shapes(spec))
    extra = {
        "pixel_mean": np.zeros((3, 1, 1)),
        "pixel_std": np.ones((3, 1, 1)),
        "proposal_generator.anchor_generator.cell_anchors.0": np.zeros((3, 4)),
    }
    network, params = detectron2.rcnn_from_state_dict(state | extra)
    sizes = ("body", "channels", "hidden", "classes", "mask_channels", "conventions")
    assert [getattr(network.spec, size) for size in sizes] == [getattr(spec, size) for size in sizes]
    rules = (*detectron2.backbone_rules("backbone/"), *detectron2.head_rules("heads/", spec.channels))
    for name, array in invert(params, rules, state).items():
        np.testing.assert_array_equal(array, state[name], err_msg=name)


def test_old_and_new_names_of_torchvision_are_the_same_network():
    spec = small_spec(TORCHVISION)
    new = random_state(torchvision_shapes(spec))
    renamed = dict(zip(torchvision_shapes(spec), torchvision_shapes(spec, old=True), strict=True))
    old = {renamed[name]: array for name, array in new.items()}
    assert old.keys() != new.keys()
    network, params = torchvision_detection.rcnn_from_state_dict(new)
    assert (network.spec.classes, network.spec.columns, network.spec.body.eps) == (3, 4, 0.0)
    other_network, other_params = torchvision_detection.rcnn_from_state_dict(old)
    assert other_network == network
    jax.tree.map(np.testing.assert_array_equal, params, other_params)


def test_inputs_of_a_flattened_map_are_reordered():
    layout = detectron2.flattened(channels=2)
    theirs = np.arange(3 * 2 * 4).reshape(3, 8)  # out, (channel, row, column)
    ours = layout.forward(theirs)
    pooled = np.random.default_rng(0).normal(size=(2, 2, 2))  # channel, row, column
    np.testing.assert_allclose(theirs @ pooled.reshape(-1), pooled.transpose(1, 2, 0).reshape(-1) @ ours)
    np.testing.assert_array_equal(layout.inverse(ours), theirs)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"backbone.bottom_up.res3.0.conv2.weight": None}, "nothing fills backbone/body/layer2_0/conv2/conv"),
        ({"roi_heads.box_head.fc1.weight": None}, "fc1.weight is missing"),
        ({"roi_heads.keypoint_head.conv.weight": np.zeros((2, 2))}, "no rule for roi_heads.keypoint_head"),
        ({"backbone.fpn_output4.bias": np.zeros(3)}, r"gives \[3\], backbone/output_p4/bias expects \[8\]"),
    ],
)
def test_another_network_is_refused(change: dict[str, np.ndarray | None], message: str):
    state = random_state(detectron2_shapes(small_spec())) | change
    with pytest.raises(ConversionError, match=message):
        detectron2.rcnn_from_state_dict({name: array for name, array in state.items() if array is not None})
