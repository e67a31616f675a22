"""HTTP: routes, requests in, responses out, the WSGI server."""
