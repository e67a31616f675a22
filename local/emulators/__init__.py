"""Emulated AWS services for one machine."""
