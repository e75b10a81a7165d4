"""What can go wrong while a stream is read: one exception type a cause, each says what to do.

The arguments are kept in `args` and the sentence is made in `__str__`, so that the exceptions survive
pickling (a data loader's worker raises them across a process border).
"""

from icm_jax.errors import IcmError

GET_A_NEW_COPY = "copy or download the file again"


class StreamError(IcmError):
    """Base of every error caused by the content of a stream rather than by the calling code."""


class NotAnIcmFile(StreamError):
    """The first bytes are not those of an `.icm` file."""

    def __init__(self, start: bytes) -> None:
        super().__init__(start)
        self.start = start

    def __str__(self) -> str:
        return (
            f"not an .icm file: it starts with {self.start!r} instead of b'ICM1'; "
            "give the path of a file that `icm compress` wrote"
        )


class NewerVersion(StreamError):
    """The container was written by a newer version of the format than this reader knows."""

    def __init__(self, version: int, supported: int) -> None:
        super().__init__(version, supported)
        self.version = version
        self.supported = supported

    def __str__(self) -> str:
        return (
            f"the file has container version {self.version}, this reader knows up to {self.supported}; "
            "upgrade with `pip install -U icm-jax`"
        )


class TruncatedStream(StreamError):
    """The bytes end inside the named section."""

    def __init__(self, section: str, needed: int, left: int) -> None:
        super().__init__(section, needed, left)
        self.section = section
        self.needed = needed
        self.left = left

    def __str__(self) -> str:
        found = f"{self.needed} more bytes needed, {self.left} left"
        return f"truncated at section {self.section}: {found}; {GET_A_NEW_COPY}"


class DamagedSection(StreamError):
    """The bytes of the named section are all there but can not be what an encoder wrote."""

    def __init__(self, section: str, reason: str) -> None:
        super().__init__(section, reason)
        self.section = section
        self.reason = reason

    def __str__(self) -> str:
        return f"damaged section {self.section}: {self.reason}; {GET_A_NEW_COPY}"


class WrongCodec(StreamError):
    """The file was written with other base weights or tables than those that are loaded."""

    def __init__(self, needed: str, loaded: str) -> None:
        super().__init__(needed, loaded)
        self.needed = needed
        self.loaded = loaded

    def __str__(self) -> str:
        return f"the file needs codec {self.needed}, you loaded {self.loaded}; load the codec it needs"


class WrongAdapter(StreamError):
    """The file was written with another adapter than the one that is loaded."""

    def __init__(self, needed: str, loaded: str) -> None:
        super().__init__(needed, loaded)
        self.needed = needed
        self.loaded = loaded

    def __str__(self) -> str:
        remedy = "decode it without one" if self.needed == "none" else "load the adapter it needs"
        return f"the file needs adapter {self.needed}, you loaded {self.loaded}; {remedy}"


class SymbolMismatch(StreamError):
    """The bytes are intact but this machine's probability model disagrees with the encoder's."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"symbols disagree with the encoder: {self.reason}; the file is intact, so decode it on the CPU "
            "(JAX_PLATFORMS=cpu) and report the library versions of both machines"
        )


class ImageTooLarge(StreamError):
    """The header claims more pixels than the caller allows."""

    def __init__(self, width: int, height: int, max_pixels: int) -> None:
        super().__init__(width, height, max_pixels)
        self.width = width
        self.height = height
        self.max_pixels = max_pixels

    def __str__(self) -> str:
        return (
            f"image {self.width}x{self.height} has {self.width * self.height} pixels, the limit is "
            f"{self.max_pixels}; raise max_pixels (--max-pixels) if you trust the file"
        )
