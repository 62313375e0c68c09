"""What every command shares: its words, its help and its progress."""
