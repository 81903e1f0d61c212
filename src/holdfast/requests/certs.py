"""``certs`` as requests has it: where the certificate authorities are that ``verify=True`` means."""

from __future__ import annotations

from certifi import where

__all__ = ["where"]

if __name__ == "__main__":
    print(where())
