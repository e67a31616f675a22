"""Child processes of one machine: started, supervised, ended together."""
