"""Sizes and conventions of a detector: what detectron2's and torchvision's have in common, and what not."""

from dataclasses import dataclass

from icm_jax.recognizers.detection.roi_align import Sampling
from icm_jax.recognizers.resnet import ResNetSpec


@dataclass(frozen=True)
class Conventions:
    """Where the two published families differ behind the backbone.

    Attributes:
        background_first: the classifier's first column is the background; else the last one.
        rounded_anchors: corners at whole numbers, and strides as whole ratios of image and map.
        sampling: of ROIAlign.
        level_inside, level_outside: what is added to a box's size, and to its level, before rounding down.
        least_proposal, least_box: sides below are dropped, before the proposals' and before the last suppression.
    """

    background_first: bool
    rounded_anchors: bool
    sampling: Sampling
    level_inside: float
    level_outside: float
    least_proposal: float
    least_box: float


DETECTRON2 = Conventions(
    background_first=False,
    rounded_anchors=False,
    sampling=Sampling(aligned=True, per_bin=0),
    level_inside=1e-8,
    level_outside=0.0,
    least_proposal=0.0,
    least_box=0.0,
)
TORCHVISION = Conventions(
    background_first=True,
    rounded_anchors=True,
    sampling=Sampling(aligned=False, per_bin=2),
    level_inside=0.0,
    level_outside=1e-6,
    least_proposal=1e-3,
    least_box=1e-2,
)


RESNET50 = ResNetSpec(classes=0, stride_first=True)
RESNET50_TORCHVISION = ResNetSpec(classes=0, eps=0.0)  # its COCO files were trained before norms had an eps


@dataclass(frozen=True)
class DetectorSpec:
    """A Faster R-CNN, or with `mask_channels` a Mask R-CNN, on a ResNet with a pyramid.

    Attributes:
        body: the ResNet.
        conventions: detectron2's or torchvision's.
        channels: of the pyramid.
        hidden: of the box head.
        classes: without the background.
        mask_channels: of the mask head; 0: boxes only.
        per_level, proposals: boxes kept of a level before suppression, and of all levels after it.
        proposal_overlap, box_overlap: IoU above which a worse box is suppressed.
        score: least probability of a detection.
        detections: most of an image.
        canonical: side of a box that belongs to p4, in pixels.
    """

    body: ResNetSpec = RESNET50
    conventions: Conventions = DETECTRON2
    channels: int = 256
    hidden: int = 1024
    classes: int = 80
    mask_channels: int = 0
    per_level: int = 1000
    proposals: int = 1000
    proposal_overlap: float = 0.7
    box_overlap: float = 0.5
    score: float = 0.05
    detections: int = 100
    canonical: float = 224.0

    @property
    def columns(self) -> int:
        """Boxes and masks a region has: one a class; torchvision's have one for the background too."""
        return self.classes + self.conventions.background_first
