"""What people look at: boards, their sessions, log-in and rights, and the console application itself."""
