"""The web tier: photos in over HTTP, names out."""
