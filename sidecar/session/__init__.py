"""Who is connected: the registry of sessions, its limits and policy, and the status that is made of it."""
