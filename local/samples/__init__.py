"""Sample people, photos and videos."""
