"""The application logic of the web tier, independent of HTTP."""
