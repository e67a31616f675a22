"""The facerec command."""
