"""What stands on the door: declared routes behind one guard, bodies, problems, WebSockets, health and metrics."""
