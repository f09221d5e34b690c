"""Postgres and a broker of our own, as child processes without root. Not used where a URL is given."""
