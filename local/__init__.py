"""Everything on one machine: embedded AWS, worker host, supervisor."""
