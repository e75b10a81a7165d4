"""What a task asks of a decoded image: its losses."""
