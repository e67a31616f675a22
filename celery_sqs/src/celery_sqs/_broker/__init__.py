"""The kombu transport: publish, consume, acknowledge, extend visibility."""
