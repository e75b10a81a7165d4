"""Images: folders for training and evaluation, embedded samples."""
