"""What people see in a browser: pages, their scripts and styles, and the live picture."""
