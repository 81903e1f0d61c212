"""``python -m holdfast`` is the command ``holdfast``."""

from .cli.main import console

if __name__ == "__main__":
    console()
