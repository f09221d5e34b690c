"""Where and how far: regions, places, roads and travel times. Knows nothing of dispatch and imports none of it."""
