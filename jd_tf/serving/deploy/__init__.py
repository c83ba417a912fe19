"""Running model servers: configuration, promotion, shadow traffic."""
