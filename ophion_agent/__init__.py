"""Ophion's agent framework; plugin authors import from `ophion_agent.plugin`."""
