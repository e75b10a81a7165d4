"""The codecs' networks."""
