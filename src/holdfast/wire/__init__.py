"""How it travels: bytes, TLS, HTTP/1.1 framing, proxies. Knows no pool."""
