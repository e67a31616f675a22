"""The result backend: response queues and their consumer."""
