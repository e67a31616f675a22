"""What is kept in S3, and its copies on this machine."""
