"""The whole road on one machine: a simulated plant, the gateway, an embedded central."""
