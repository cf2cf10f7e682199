"""A server for unary gRPC calls on HTTP/2 frames (RFC 9113), made for many small requests."""
