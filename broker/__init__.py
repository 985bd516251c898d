"""How Redis is reached: one server, or whichever its Sentinels name as master."""
