"""What a job asks for against what its site allows. Pure: no engine, thread or disk."""
