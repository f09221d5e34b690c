"""The line to the units: messages in, worked off in order, and orders out until they are heard."""
