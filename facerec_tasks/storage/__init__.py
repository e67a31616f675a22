"""Objects in S3, and copies of them on this machine."""
