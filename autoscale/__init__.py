"""The fleet controller: starts and stops EC2 workers."""
