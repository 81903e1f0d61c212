"""The command ``holdfast``: get, timing, doctor, download. ``python -m holdfast`` is the same."""
