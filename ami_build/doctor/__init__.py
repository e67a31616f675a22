"""``facerec aws doctor``: resources, attributes and permissions; each fault with its remedy."""
