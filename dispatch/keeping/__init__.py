"""The store on Postgres and its twin in memory, the schema's steps, and the spool while the database is away."""
