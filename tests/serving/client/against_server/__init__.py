"""Clients and the rules of a server, over the network."""
