"""Faster R-CNN and Mask R-CNN at inference: anchors, proposals, pooling of regions, heads, masks."""
