"""Everything on one machine: embedded AWS, hypervisor, supervisor."""
