"""The version, where the build and whoever asks for it read it."""

__version__ = "0.1.0"
