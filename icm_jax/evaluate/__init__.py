"""What a codec costs in real bytes and what it keeps: measures, anchors, reports."""
