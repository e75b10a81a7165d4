"""TFDS builders without TensorFlow, one file a data set; `registry` lists them."""
