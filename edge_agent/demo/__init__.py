"""The whole pipeline on one machine: a simulated plant, the gateway, an embedded central."""
