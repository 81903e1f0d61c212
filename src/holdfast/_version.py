"""The version: one place for the build, the User-Agent and ``holdfast.__version__``."""

__version__ = "0.1.0"
