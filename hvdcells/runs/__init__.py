"""The run directory and what is kept in it: who works on it, how far it has come, what it was made of."""
