"""Shards in the formats that existing loaders read; each exporter says what its target cannot hold."""
