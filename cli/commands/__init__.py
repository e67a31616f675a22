"""The commands of `facerec`, one module each."""
