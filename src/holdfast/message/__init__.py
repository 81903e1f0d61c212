"""What is said: URLs, header fields, bodies, requests, responses, cookies. Values; no input or output."""
