"""What the web tier does for a request, independent of HTTP."""
