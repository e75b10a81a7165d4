"""What a codec gets of a photo: the file as it is, or, as in the papers, the photo at its network's own size.

own              file ─► codec ─► network's resizing ─► network               bpp over the pixels of the file
published        file ─► network's resizing ─► codec ─► network               bpp over the pixels of the resized photo
                 (short side 800 for detectors; short side 256 and its square for classifiers)

The published evaluation of TransTIC resizes once more, up to multiples of 256 ("published"), or repeats borders
("published-pad"), and takes that back behind the decoder.
"""

from typing import NamedTuple

from icm_jax.errors import IcmError
from icm_jax.recognizers.preprocessing import Resize, keep_size
from icm_jax.tasks.registry import get_task


class Protocol(NamedTuple):
    """How a photo is prepared for the codec, and how the codec aligns it; see `Codec.compress`."""

    name: str = "own"
    prepare: Resize = keep_size
    alignment: str = "grid"

    @property
    def published(self) -> bool:
        """Whether the network gets decoded pictures as they are."""
        return self.name != "own"


OWN = Protocol()
ALIGNMENTS = {"own": "grid", "published": "resize256", "published-pad": "pad256"}


def get_protocol(name: str, task: str) -> Protocol:
    """A protocol by its name, for a task's networks.

    Raises:
        IcmError: no such protocol, or nothing is published for the task.
    """
    if name not in ALIGNMENTS:
        raise IcmError(f"protocol {name!r} is unknown; choose one of {', '.join(ALIGNMENTS)}")
    if name == "own":
        return OWN
    published = get_task(task).published if task else None
    if published is None:
        raise IcmError(
            f"protocol {name} is for classification, detection and instances, the task is {task or 'none'}; "
            "leave it out"
        )
    return Protocol(name, published.prepare, ALIGNMENTS[name])
