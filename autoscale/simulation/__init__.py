"""The controller in simulated time: traffic, fleets, other autoscalers, plots."""
