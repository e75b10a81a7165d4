"""The demo as one HTML page: style and script inside, pictures beside it, nothing from the network.

Without JavaScript it shows the middle quality; with it, a quality and an opponent can be chosen for all
photos at once and each photo has a slider between the two.
"""

import json
from collections.abc import Sequence
from html import escape
from importlib import resources

from icm_jax.evaluate.curves import METRICS
from icm_jax.evaluate.demo_report import Coded, Comparison, PhotoReport, mean_curves, mean_gains
from icm_jax.evaluate.pictures import ERROR_LIMIT, HEAT
from icm_jax.evaluate.rd_svg import rd_svg
from icm_jax.evaluate.still_images import AVIF_QUICK_SPEED, WEBP_METHOD

CROP = 128  # pixels of the detail shown, a side
ORIGINAL_TAG = "<b>Original</b>uncompressed"


def render(photos: Sequence[PhotoReport]) -> str:
    """The whole page as text."""
    level = len(photos[0].comparisons) // 2
    name = escape(photos[0].coded[0].codec)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{name}, byte for byte</title>
<style>
{_asset("demo_page.css")}</style>
</head>
<body>
{_hero(photos, name)}
<main>
{_plots(photos)}
{_controls(photos, level)}
{"".join(_photo(photo, level) for photo in photos)}
</main>
{_footer(photos)}
<script type="application/json" id="report">{_report(photos)}</script>
<script>
{_asset("demo_page.js")}</script>
</body>
</html>
"""


def _hero(photos: Sequence[PhotoReport], name: str) -> str:
    rates = [entry.scores.bpp for photo in photos for entry in photo.coded]
    tiles = [f"<div><dt>Rates</dt><dd>{min(rates):.2f}&ndash;{max(rates):.2f} <small>bpp</small></dd></div>"]
    tiles += [
        f"<div><dt>Against {escape(label)}</dt><dd>{_signed(gain)} <small>dB</small></dd></div>"
        for label, gain in _labelled_gains(photos)
    ]
    return f"""<header class="hero">
<p class="eyebrow">icm-jax demo</p>
<h1>What {name} makes of every byte</h1>
<p class="lead">Photos compressed to real <code>.icm</code> files and decoded from them. Classical codecs were
given the same number of bytes, so that only the pictures differ.</p>
<dl class="stats">{"".join(tiles)}</dl>
<p class="note">PSNR of {name} minus that of each classical codec at equal size, mean of {len(photos)} photos
at {len(photos[0].comparisons)} qualities. Above zero, {name} is closer to the original.</p>
</header>"""


def _labelled_gains(photos: Sequence[PhotoReport]) -> list[tuple[str, float]]:
    labels = {anchor.codec: anchor.label for c in photos[0].comparisons for anchor in c.anchors}
    return [(labels[codec], gain) for codec, gain in mean_gains(photos).items()]


def _plots(photos: Sequence[PhotoReport]) -> str:
    cards = []
    for metric, title in METRICS.items():
        plot = rd_svg(mean_curves(photos, metric), "bits per pixel", f"{title} over bits per pixel")
        cards.append(f'<figure class="card"><h3>{title}</h3>{plot}</figure>')
    return f"""<section class="plots">{"".join(cards)}</section>
<p class="note under-plots">Mean over the photos; rates are whole files, header included. MS-SSIM is drawn as
&minus;10&thinsp;log<sub>10</sub>(1&nbsp;&minus;&nbsp;MS-SSIM). Classical codecs have their files of our sizes
as dots.</p>"""


def _controls(photos: Sequence[PhotoReport], level: int) -> str:
    comparisons = photos[0].comparisons
    qualities = [(str(i), f"Quality {c.ours.quality}") for i, c in enumerate(comparisons)]
    opponents = [("original", "Original"), *((a.codec, a.label) for a in comparisons[0].anchors)]
    return f"""<form class="controls" autocomplete="off">
{_segments("quality", escape(comparisons[0].ours.codec), qualities, level)}
{_segments("against", "against", opponents, 0)}
</form>"""


def _segments(name: str, title: str, options: Sequence[tuple[str, str]], checked: int) -> str:
    labels = "".join(
        f'<label><input type="radio" name="{name}" value="{value}"{" checked" * (i == checked)}>'
        f"<span>{escape(text)}</span></label>"
        for i, (value, text) in enumerate(options)
    )
    return f'<fieldset><legend>{title}</legend><div class="segments">{labels}</div></fieldset>'


def _photo(photo: PhotoReport, level: int) -> str:
    sample, comparison = photo.sample, photo.comparisons[level]
    height, width = sample.image.shape[:2]
    entries = _entries(photo, comparison)
    return f"""<section class="photo" id="{escape(sample.name)}">
<header><h2>{escape(sample.title)}</h2>
<p class="note">{width}&times;{height} &middot; {escape(sample.author)} &middot; {escape(sample.licence)}</p>
</header>
<div class="stage">
<div class="viewer">
<img class="under" src="{entries["own"]["picture"]}" width="{width}" height="{height}" alt="decoded photo">
<img class="over" src="{photo.original}" width="{width}" height="{height}" alt="photo to compare with">
<i></i>
<span class="tag left">{entries["own"]["tag"]}</span><span class="tag right">{ORIGINAL_TAG}</span>
<input type="range" min="0" max="100" step="0.1" value="50" aria-label="wipe between the two pictures">
</div>
<div class="maps">{_maps(comparison)}</div>
</div>
<div class="crops">{"".join(_crop(photo, key, entry) for key, entry in entries.items())}</div>
{_table(photo)}
</section>
"""


def _entries(photo: PhotoReport, comparison: Comparison) -> dict[str, dict[str, str]]:
    """Picture and caption of everything that can be shown of a photo at one quality, by key."""
    return {
        "original": {"picture": photo.original, "tag": ORIGINAL_TAG},
        "own": {"picture": comparison.ours.picture, "tag": _tag(comparison.ours)},
        **{anchor.codec: {"picture": anchor.picture, "tag": _tag(anchor)} for anchor in comparison.anchors},
    }


def _tag(entry: Coded) -> str:
    too_big = "" if entry.fits else " (its smallest)"
    return f"<b>{escape(entry.label)}</b>{entry.scores.bytes:,} bytes{too_big}<br>{entry.scores.psnr:.2f} dB"


def _maps(comparison: Comparison) -> str:
    error_map = _map("error", comparison.error_picture, "Error a pixel", f"{ERROR_LIMIT:.0f} of 255")
    if not comparison.bit_picture:
        return error_map
    return (
        _map("bits", comparison.bit_picture, "Bits a 16&times;16 block", f"{comparison.bit_limit:.0f}")
        + error_map
    )


def _map(key: str, picture: str, title: str, limit: str) -> str:
    gradient = f"linear-gradient(90deg, {', '.join(HEAT)})"
    return f"""<figure data-map="{key}"><img src="{picture}" alt="{title}">
<figcaption>{title} <span class="scale">0 <span class="bar" style="background:{gradient}"></span>
<span class="limit">{limit}</span></span></figcaption></figure>"""


def _crop(photo: PhotoReport, key: str, entry: dict[str, str]) -> str:
    (x, y), (height, width) = photo.sample.focus, photo.sample.image.shape[:2]
    size = min(CROP, height, width)
    place = f"--w:{width / size:.4f};--x:{x / size:.4f};--y:{y / size:.4f}"
    return f"""<figure data-crop="{key}"><div class="crop" style="{place}">
<img src="{entry["picture"]}" alt="detail" loading="lazy"></div>
<figcaption>{entry["tag"]}</figcaption></figure>"""


def _table(photo: PhotoReport) -> str:
    """A row a compared quality: our file, then PSNR and MS-SSIM of all at its size, the best in bold."""
    codecs = [photo.comparisons[0].ours, *photo.comparisons[0].anchors]
    names = "".join(f"<th{_group(i)}>{escape(entry.label)}</th>" for i, entry in enumerate(codecs))
    rows = []
    for comparison in photo.comparisons:
        scores, entries = comparison.ours.scores, [comparison.ours, *comparison.anchors]
        estimate = "" if scores.estimated_bpp is None else f"{scores.estimated_bpp:.3f}"
        own = [
            f"Quality {comparison.ours.quality}",
            f"{scores.bytes:,}",
            f"{scores.bpp:.3f}",
            estimate,
            f"{1000 * scores.encode_seconds:.0f}",
            f"{1000 * scores.decode_seconds:.0f}",
        ]
        psnr_cells = _ranked([entry.scores.psnr for entry in entries], "{:.2f}")
        ssim_cells = _ranked([entry.scores.ms_ssim for entry in entries], "{:.4f}")
        rows.append(f"<tr>{''.join(f'<td>{cell}</td>' for cell in own)}{psnr_cells}{ssim_cells}</tr>")
    return f"""<div class="scroll"><table>
<thead><tr><th colspan="6"></th><th class="group" colspan="{len(codecs)}">PSNR, dB</th>
<th class="group" colspan="{len(codecs)}">MS-SSIM</th></tr>
<tr><th></th><th>bytes</th><th>bpp</th><th>est. bpp</th><th>enc ms</th><th>dec ms</th>{names}{names}</tr>
</thead>
<tbody>{"".join(rows)}</tbody></table></div>"""


def _ranked(values: Sequence[float], form: str) -> str:
    best = max(values)
    cells = []
    for i, value in enumerate(values):
        classes = " ".join(["group own"] * (i == 0) + ["best"] * (value == best))
        cells.append(f'<td class="{classes}">{form.format(value)}</td>')
    return "".join(cells)


def _group(position: int) -> str:
    return ' class="group"' if position == 0 else ""


def _footer(photos: Sequence[PhotoReport]) -> str:
    credits = "; ".join(
        f"{escape(p.sample.title)}: {escape(p.sample.author)}, {escape(p.sample.licence)}" for p in photos
    )
    return f"""<footer class="note">
<p>Photos. {credits}.</p>
<p>Classical codecs: largest file not above ours, found by bisection of their quality setting. JPEG 4:2:0
with optimised tables, WebP method {WEBP_METHOD}, AVIF 4:2:0 speed {AVIF_QUICK_SPEED}. Times are single runs
on this machine, compilation excluded. Every number is in <a href="scores.json">scores.json</a>.</p>
</footer>"""


def _report(photos: Sequence[PhotoReport]) -> str:
    """What the script needs, as JSON that can not end its script element."""
    report = [
        {"name": photo.sample.name, "levels": [_level(photo, comparison) for comparison in photo.comparisons]}
        for photo in photos
    ]
    return json.dumps(report).replace("<", "\\u003c")


def _level(photo: PhotoReport, comparison: Comparison) -> dict[str, object]:
    maps = {"error": {"picture": comparison.error_picture, "limit": f"{ERROR_LIMIT:.0f} of 255"}}
    if comparison.bit_picture:
        maps["bits"] = {"picture": comparison.bit_picture, "limit": f"{comparison.bit_limit:.0f}"}
    return {"entries": _entries(photo, comparison), "maps": maps}


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "&minus;")


def _asset(name: str) -> str:
    return (resources.files(__package__) / name).read_text(encoding="utf-8")
