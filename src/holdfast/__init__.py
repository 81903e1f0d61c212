"""holdfast: the HTTP/1.1 client that keeps its connections alive and tells the truth about them."""

__version__ = "0.1.0"
