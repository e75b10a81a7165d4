"""The data sets that can be built. Needs TFDS; what does not, does not import this."""

from icm_jax.data.builders.coco_instances import CocoInstances
from icm_jax.data.builders.image_sets import Flickr2w, ImageFolder, Kodak
from icm_jax.data.builders.imagenet import Imagenet
from icm_jax.data.builders.nyud_mt import NyudMt
from icm_jax.data.builders.openimages_vcm import OpenimagesVcm
from icm_jax.data.builders.pascal_mt import PascalMt
from icm_jax.data.builders.sharded import ShardedBuilder
from icm_jax.errors import IcmError

BUILDERS: dict[str, type[ShardedBuilder]] = {
    "nyud_mt": NyudMt,
    "pascal_mt": PascalMt,
    "coco_instances": CocoInstances,
    "openimages_vcm": OpenimagesVcm,
    "imagenet": Imagenet,
    "kodak": Kodak,
    "flickr2w": Flickr2w,
    "image_folder": ImageFolder,
}


def find_builder(name: str) -> type[ShardedBuilder]:
    """The builder of a data set; raises IcmError with those there are."""
    if name not in BUILDERS:
        raise IcmError(f"data set {name!r} is unknown; choose one of {', '.join(BUILDERS)}")
    return BUILDERS[name]
