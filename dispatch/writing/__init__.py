"""What the engine is made of: group commit, journal, leases, snapshots, replicas, positions, where time goes."""
