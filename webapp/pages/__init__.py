"""Web pages: HTML, scripts, styles, and the status page."""
