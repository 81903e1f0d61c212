"""Connections of any kind, kept by key. Knows neither HTTP nor sockets."""
