"""One console's picture, sent to all who watch it over whatever protocol."""
