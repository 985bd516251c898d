"""All that PostgreSQL knows. The only place with SQL; every function takes the caller's connection first."""
