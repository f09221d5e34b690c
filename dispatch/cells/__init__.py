"""Between regions and between cells: what one asks of another, carried until it is settled."""
