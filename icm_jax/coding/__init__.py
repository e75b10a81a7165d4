"""From latents to the sections of a stream and back."""
