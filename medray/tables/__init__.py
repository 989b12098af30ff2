"""Tables and shards: the token store and the only place for ray.data."""
