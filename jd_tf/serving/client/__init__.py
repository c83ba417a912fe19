"""Clients of a served ranker: over gRPC, over REST, or in process."""
