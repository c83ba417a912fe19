"""Tables of events and impressions become requests, by a configuration."""
