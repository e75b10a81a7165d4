"""The papers' figures of TIC, and the two ways of counting against each other."""

import pytest

from icm_jax.adapters.registry import ADAPTERS
from icm_jax.evaluate.complexity import complexity, format_table
from icm_jax.models.tic import TICSpec


@pytest.fixture(scope="module")
def tic():
    return complexity(TICSpec())


def test_parameters_of_the_published_codec(tic):
    assert tic.enc_params == 2_738_880 + 901_952 + 7_808  # g_a, h_a, factorised prior
    assert tic.dec_params == 1_123_392 + 2_738_691  # h_s, g_s


def test_papers_rule_gives_the_papers_figures(tic):
    assert round(tic.enc_kmacs_paper, 2) == 142.54
    assert round(tic.dec_kmacs_paper, 2) == 188.52


def test_true_multiplications(tic):
    assert tic.enc_kmacs == pytest.approx(142.28, abs=0.01)
    assert tic.dec_kmacs == pytest.approx(142.50, abs=0.01)


def test_deconvolutions_make_all_the_difference(tic):
    """By hand: k²·in·out a position of the input of g_s1, g_s3, g_s5, g_s7, h_s1, h_s3, in kMAC a pixel."""
    g_s = [(9 * 192 * 128, 16), (9 * 128 * 128, 8), (9 * 128 * 128, 4)]
    h_s = [(9 * 128 * 128, 64), (9 * 128 * 384, 32)]
    last = 25 * 128 * 3 / 2**2
    taps = sum(macs / stride**2 for macs, stride in g_s + h_s)
    biases_and_norms = 0.26  # kMAC a pixel, of either half
    assert tic.dec_kmacs_paper - tic.dec_kmacs == pytest.approx(
        3 * (taps + last) / 1e3 + biases_and_norms, abs=0.01
    )
    assert tic.enc_kmacs_paper - tic.enc_kmacs == pytest.approx(biases_and_norms, abs=0.01)


def test_bottleneck_codec_by_hand():
    """A codec without attention: strided convolutions and C·C/2 + 9·C²/4 + C·C/2 a bottleneck position."""
    widths, m, n = (8, 16, 24), 32, 16
    spec = TICSpec(N=n, M=m, widths=widths, depths=(1, 2, 1, 1), hyper_depths=(1, 1), block="bottleneck")
    channels = [3, *widths, m]
    macs = 0.0
    for i, depth in enumerate(spec.depths):
        kernel = 25 if i == 0 else 9
        per_position = kernel * channels[i] * channels[i + 1] + depth * 3.25 * channels[i + 1] ** 2
        macs += per_position / 4 ** (i + 1)
    macs += (9 * m * n + 3.25 * n * n) / 32**2 + (9 * n * n + 3.25 * n * n) / 64**2
    assert complexity(spec).enc_kmacs == pytest.approx(macs / 1e3, rel=1e-9)


def test_table_has_a_line_a_codec(tic):
    lines = format_table({"tic": tic}).splitlines()
    assert lines[0].split()[:2] == ["codec", "encoder"]
    assert lines[1].split()[0] == "tic"
    assert "142.28 (142.54)" in lines[1]


@pytest.mark.parametrize(
    ("name", "figures", "share"),
    [
        ("transtic", (5.24, 3.89, 332.03, 202.60), 1e-3),
        ("channel-selection", (3.76, 1.96, 142.54, 25.13), 0.012),
        ("sft", (12.08, 9.62, 686.39, 462.23), 0.015),
    ],
)
def test_adapters_come_near_the_papers_figures(name: str, figures: tuple[float, ...], share: float):
    found = complexity(TICSpec(), ADAPTERS[name]())
    ours = (found.enc_params / 1e6, found.dec_params / 1e6, found.enc_kmacs_paper, found.dec_kmacs_paper)
    assert ours == pytest.approx(figures, rel=max(share, 1e-3))


def test_all_in_one_and_sfma_add_what_their_papers_say(tic):
    sfma, all_in_one = (complexity(TICSpec(), ADAPTERS[name]()) for name in ("sfma", "all-in-one"))
    assert (sfma.adapter_params, all_in_one.adapter_params) == (287_232, 632_240)
    assert sfma.enc_kmacs - tic.enc_kmacs == pytest.approx(14.75, abs=0.02)
    assert all_in_one.enc_kmacs - tic.enc_kmacs == pytest.approx(7.20, abs=0.02)
    assert all_in_one.dec_kmacs_paper == pytest.approx(236.1, rel=2e-3)
