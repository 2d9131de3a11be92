"""Whom the gateway trusts, and who it is: certificates, endpoints, users."""
